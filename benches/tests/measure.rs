//! What is measured of a program is that program's, and a failure is no figure.

use std::process::{Command, Output};

fn run_as_parent(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_end_to_end"))
        .arg("run-as-parent")
        .args(args)
        .output()
        .expect("the benchmark starts")
}

/// CPU and wall time in microseconds, peak memory in bytes.
fn figures(args: &[&str]) -> [u64; 3] {
    let output = run_as_parent(args);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let figures: Vec<u64> = text.split_whitespace().map(|figure| figure.parse().expect("a number")).collect();
    figures.try_into().expect("three figures")
}

#[test]
fn memory_and_time_are_those_of_the_program() {
    let [_, idle_wall, idle_peak] = figures(&["-", "sleep", "0.2"]);
    let [busy_cpu, _, busy_peak] =
        figures(&["-", "sh", "-c", "x=$(head -c 40000000 /dev/zero | tr '\\0' x); test ${#x} -eq 40000000"]);
    assert!(idle_peak < 16 << 20, "the floor is {idle_peak}");
    assert!((40_000_000..400_000_000).contains(&busy_peak), "{busy_peak}");
    assert!(idle_wall >= 200_000 && busy_cpu > 1_000, "{idle_wall} {busy_cpu}");
}

#[test]
fn a_program_that_fails_has_no_figures() {
    for args in [&["-", "false"][..], &["-", "/no/such/program"], &["/no/such/folder/out", "true"], &["-"]] {
        let output = run_as_parent(args);
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    }
}
