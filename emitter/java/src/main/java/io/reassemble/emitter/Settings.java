package io.reassemble.emitter;

import java.time.Duration;

/**
 * What was set when the emitter was made.
 *
 * @param lineLimit bytes of a line, newline included
 * @param bodyLimit bytes of each body
 * @param redactBuffer bytes of a body that is looked through for names
 * @param rateLimit null where there is none
 * @param key null where lines are not signed
 */
record Settings(
        String service, String host, String inst, int lineLimit, long bodyLimit, double sampleRate, SampleBy sampleBy, RateLimit rateLimit,
        CaptureErrors errors, Filter methods, Filter paths, Filter bodyTypes, Redactor redactor, boolean redactBodies, int redactBuffer,
        Duration metaEvery, SigningKey key) {}
