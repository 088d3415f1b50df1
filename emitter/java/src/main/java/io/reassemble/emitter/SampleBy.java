package io.reassemble.emitter;

/** What a capture is sampled by. */
public enum SampleBy {
    /** The trace's id, where there is one: all services decide alike, so that a trace is captured as a whole or not at all. */
    TRACE,
    /** The capture's id: for the edge, where clients choose their traceparent and could thereby choose what is captured. */
    ID
}
