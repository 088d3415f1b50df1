//! What is done with exchanges that are stored: [`verify`] holds a destination against the logs that it was made of, [`merge`] joins pieces of one
//! capture. Neither is on the way of a line; what assembles and stores is the pipeline.

pub mod merge;
mod objects;
pub mod verify;
