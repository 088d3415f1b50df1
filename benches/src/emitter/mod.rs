//! What emitters cost an app: a sample app of each language under load with and without its emitter, and one capture of the Rust one on a request's
//! own thread.
//!
//! - [`load`] sends requests at a constant rate and takes their latencies from the instants at which they were to be sent; or as many as are answered.
//! - [`app`] runs a sample app and tells its CPU time and peak memory.
//! - [`pairs`] runs it with and without the emitter in turn and sums the differences up.
//! - [`own_thread`] measures captures in a loop, by the CPU time of the calling thread alone.
//!
//! # Reading the figures
//!
//! The two sides of a pair run right behind each other, every second pair in the other order, so that a slow minute hurts both; each figure is the
//! median of the pairs' differences. Where other programs run, single differences of the 99th percentile scatter by hundreds of microseconds either
//! way: the quartiles beside the median tell whether it means anything, and more or longer pairs narrow them. CPU time scatters far less. The load has
//! a thread of its own on the same machine, which sleeps between requests; its own delays count in the latencies of both sides alike.
//!
//! Where the 99th percentile without the emitter is above a millisecond, other programs had the cores for whole slices of the scheduler: such a run tells
//! of CPU time and memory, and nothing of latencies.

pub mod app;
pub mod load;
pub mod own_thread;
pub mod pairs;

/// Length of the bodies of requests and responses in bytes.
pub const BODY_BYTES: usize = 2048;

/// A JSON body of exactly [`BODY_BYTES`], with a quote about every eight bytes, as APIs send them.
pub fn json_body() -> Vec<u8> {
    let mut body = String::from("{\"items\":[");
    for id in 0.. {
        let item = format!(r#"{{"id":{id},"name":"item number {id}","price":{id}.99,"tags":["new","blue"]}},"#);
        if body.len() + item.len() > BODY_BYTES - 16 {
            break;
        }
        body.push_str(&item);
    }
    let padding = BODY_BYTES - body.len() - "\"\"]}".len();
    [body, format!("\"{}\"]}}", "x".repeat(padding))].concat().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_json_of_its_length() {
        let body = json_body();
        assert_eq!(body.len(), BODY_BYTES);
        serde_json::from_slice::<serde_json::Value>(&body).unwrap();
    }
}
