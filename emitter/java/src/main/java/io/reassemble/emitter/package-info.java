/**
 * Captures what a Java service is asked and answers, as capture lines that {@code reassemble} rebuilds the pairs from.
 *
 * <p>Start at {@link io.reassemble.emitter.Emitter}. {@link io.reassemble.emitter.CaptureFilter} captures what a servlet container serves,
 * {@link io.reassemble.emitter.CaptureHttpClient} what a {@link java.net.http.HttpClient} asks, and
 * {@link io.reassemble.emitter.Emitter#begin} anything else.
 *
 * <p>The way of a capture: a request's thread copies what passes into a bounded queue ({@code Part}, {@code CaptureQueue}); one thread
 * ({@code LineThread}) redacts it, cuts it into lines ({@code PartWriter}) and writes them ({@code Sink}). No fault on this way reaches the app.
 */
package io.reassemble.emitter;
