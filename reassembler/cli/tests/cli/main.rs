//! Black-box tests of the real binary.

mod command;
mod program;
mod running;
