//! The machine that tests run on, and its clock.

use std::process::Command;

/// What figures were measured on, in a line.
pub fn describe() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("?");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("machine: {cores} cores, {model}; everything on it at once")
}

/// Sets a program's wall clock off, such as by `+1h`, and no other clock. libfaketime, which does that, is for Linux.
pub fn with_clock_off(command: &mut Command, by: &str) {
    // The wrapper would stand between a test and its process, so its library is used without it.
    let output = Command::new("faketime").args(["-f", "+0", "printenv"]).output();
    let output = output.expect("faketime runs").stdout;
    let output = String::from_utf8_lossy(&output);
    let library = output.lines().find_map(|line| line.strip_prefix("LD_PRELOAD="));
    command.env("LD_PRELOAD", library.expect("faketime names its library"));
    command.env("FAKETIME", by).env("DONT_FAKE_MONOTONIC", "1");
}
