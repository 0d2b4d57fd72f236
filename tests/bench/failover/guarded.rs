//! Children that die with this process, however it ends: it may be killed, and they may be stopped.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The first argument that makes this program one that [`becomes`] another.
pub(crate) const ARGUMENT: &str = "--die-with-parent";

/// Changes `command` so that its process dies with this one. This program takes the other's place
/// first, and becomes it: the process is the same, and signals hit it as before.
pub(crate) fn guard(command: &mut Command) {
    let mut guarded = Command::new(std::env::current_exe().expect("this program has a path"));
    guarded.arg(ARGUMENT).arg(command.get_program()).args(command.get_args());
    guarded.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    *command = guarded;
}

/// Becomes the program and arguments after [`ARGUMENT`]; returns only if it cannot.
pub(crate) fn becomes(mut arguments: impl Iterator<Item = String>) -> io::Error {
    let Some(program) = arguments.next() else {
        return io::Error::other(format!("{ARGUMENT}: no program"));
    };
    if let Err(error) = die_with_parent() {
        return error.into();
    }
    Command::new(program).args(arguments).exec()
}

/// Elsewhere the bench still ends its children when it ends itself.
#[cfg(target_os = "linux")]
fn die_with_parent() -> rustix::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent() -> rustix::io::Result<()> {
    Ok(())
}
