//! Clocks of processes that can be set off, by a library that is loaded before them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::command::run;
use crate::run::{Outcome, Unknown};

const SOURCE: &str = include_str!("clock.c");
/// The file holds six numbers of eight bytes: first what is added to each clock, in ns, then how often
/// each was read.
const CLOCKS: u64 = 3;
const SIZE: u64 = 8;

/// The library, compiled for this machine.
pub(crate) struct ClockLibrary {
    library: PathBuf,
    directory: PathBuf,
}

/// The clocks of one process, through all its restarts.
pub(crate) struct FakeClock {
    library: PathBuf,
    path: PathBuf,
    file: File,
}

#[derive(Clone, Copy)]
enum Kind {
    Wall,
    Monotonic,
    Boot,
}

impl ClockLibrary {
    /// Compiles it into a directory.
    pub(crate) async fn compile(directory: &Path) -> Outcome<Self> {
        let (source, library) = (directory.join("clock.c"), directory.join("clock.so"));
        // That is how the dynamic linker parts the names of libraries.
        if library.to_string_lossy().contains([' ', ':']) {
            let at = directory.display();
            return Err(Unknown(format!(
                "{at}: clocks need a directory without spaces and colons"
            )));
        }
        fs::write(&source, SOURCE)?;
        let [source, into] = [&source, &library].map(|path| path.to_string_lossy().into_owned());
        run(&["cc", "-shared", "-fPIC", "-O2", "-o", &into, &source]).await?;
        Ok(Self { library, directory: directory.to_owned() })
    }

    /// The clocks of a process, right as yet.
    pub(crate) fn clock_of(&self, name: &str) -> Outcome<FakeClock> {
        let path = self.directory.join(format!("{name}.clock"));
        let file =
            File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
        file.set_len(2 * CLOCKS * SIZE)?;
        Ok(FakeClock { library: self.library.clone(), path, file })
    }
}

impl FakeClock {
    /// Lets a program read these clocks.
    pub(super) fn load(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("CHAOS_CLOCK", &self.path);
    }

    /// Sets the wall clock ahead of the right time; zero: right.
    pub(crate) fn set_wall_ahead(&self, by: Duration) {
        self.write(Kind::Wall, ns(by));
    }

    /// Sets the wall clock behind the right time.
    pub(crate) fn set_wall_back(&self, by: Duration) {
        self.write(Kind::Wall, -ns(by));
    }

    /// Takes a time, which the process spent frozen, from its monotonic clock: as if the machine had
    /// been suspended, which that clock does not notice, while the boot-time clock went on.
    pub(crate) fn suspend(&self, frozen: Duration) {
        self.write(Kind::Monotonic, self.read(Kind::Monotonic as u64) - ns(frozen));
    }

    /// How often the process read the boot-time clock through this library.
    pub(crate) fn boot_calls(&self) -> u64 {
        self.calls(Kind::Boot)
    }

    /// How often it read the monotonic clock so.
    pub(crate) fn monotonic_calls(&self) -> u64 {
        self.calls(Kind::Monotonic)
    }

    /// How often it read the wall clock so.
    pub(crate) fn wall_calls(&self) -> u64 {
        self.calls(Kind::Wall)
    }

    fn calls(&self, kind: Kind) -> u64 {
        u64::try_from(self.read(CLOCKS + kind as u64)).unwrap_or_default()
    }

    fn read(&self, at: u64) -> i64 {
        let mut number = [0; SIZE as usize];
        self.file.read_exact_at(&mut number, at * SIZE).expect("the file of the clocks is there");
        i64::from_ne_bytes(number)
    }

    fn write(&self, kind: Kind, added: i64) {
        let (number, at) = (added.to_ne_bytes(), kind as u64 * SIZE);
        self.file.write_all_at(&number, at).expect("the file of the clocks is there");
    }
}

fn ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
