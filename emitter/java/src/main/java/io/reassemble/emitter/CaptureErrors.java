package io.reassemble.emitter;

/** What becomes of captures that sampling or a rate limit leaves out, once they turn out to be errors. */
public enum CaptureErrors {
    /** They are left out as any other. */
    SAMPLED,
    /** They are captured: a status of 500 or more, or no response because the handler or the call failed. */
    ALWAYS
}
