package io.reassemble.emitter;

/**
 * What happened to this process's captures since the emitter was made.
 *
 * @param begun captures admitted
 * @param finished captures of which every line was written
 * @param dropped captures dropped whole, for the queue was full or the output is gone
 * @param sampledOut captures that sampling or a rate limit left out
 * @param lostLines lines that the output did not take
 */
public record Counts(long begun, long finished, long dropped, long sampledOut, long lostLines) {
    /** Whether a {@code meta} line would tell the same. */
    boolean isSame(Counts other) {
        return begun == other.begun && finished == other.finished && dropped == other.dropped && sampledOut == other.sampledOut;
    }
}
