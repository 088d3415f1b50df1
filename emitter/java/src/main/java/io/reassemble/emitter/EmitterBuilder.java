package io.reassemble.emitter;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;

/** Sets an {@link Emitter} up, by calls, by the environment, or both: what is applied later wins, lists grow. */
public final class EmitterBuilder {
    private static final int MIN_LINE = 512;
    private static final int MAX_LINE = 262_144;

    private String service;
    private Output output = Output.stdout();
    private int lineLimit = 4096;
    private long bodyLimit = 1 << 20;
    private long queueLimit = 32 << 20;
    private double sampleRate = 1;
    private SampleBy sampleBy = SampleBy.TRACE;
    private Double rateLimit;
    private CaptureErrors errors = CaptureErrors.SAMPLED;
    private final Filter methods = Filter.ofMethods();
    private final Filter paths = Filter.ofPaths();
    private final Filter bodyTypes = Filter.ofTypes();
    private final Redactor redactor = new Redactor();
    private boolean redactBodies = true;
    private int redactBuffer = 64 << 10;
    private Duration metaEvery = Duration.ofMinutes(1);
    private SigningKey key;

    EmitterBuilder() {}

    /**
     * The service's name; unless set the program's.
     *
     * @param name the name
     * @return this
     */
    public EmitterBuilder service(String name) {
        service = name;
        return this;
    }

    boolean hasService() {
        return service != null;
    }

    /**
     * Where lines go; unless set to standard output.
     *
     * @param output the output
     * @return this
     */
    public EmitterBuilder output(Output output) {
        this.output = output;
        return this;
    }

    /**
     * The longest line; unless set 4,096, up to which a write to a pipe is one piece.
     *
     * @param bytes from 512 to 262,144, newline included
     * @return this
     */
    public EmitterBuilder lineLimit(int bytes) {
        if (bytes < MIN_LINE || bytes > MAX_LINE) {
            throw new CaptureConfigException("line limit " + bytes + " is not within 512 to 262144");
        }
        lineLimit = bytes;
        return this;
    }

    /**
     * How much of each body is captured; unless set 1 MiB.
     *
     * @param bytes 0 or more
     * @return this
     */
    public EmitterBuilder bodyLimit(long bytes) {
        bodyLimit = notNegative("body limit", bytes);
        return this;
    }

    /**
     * How much may wait to be written; unless set 32 MiB.
     *
     * @param bytes 0 or more
     * @return this
     */
    public EmitterBuilder queueLimit(long bytes) {
        queueLimit = notNegative("queue limit", bytes);
        return this;
    }

    /**
     * The share of traces, or captures, that is captured; unless set all.
     *
     * @param rate from 0 to 1
     * @return this
     */
    public EmitterBuilder sampleRate(double rate) {
        if (!(rate >= 0 && rate <= 1)) {
            throw new CaptureConfigException("sample rate " + rate + " is not within 0 to 1");
        }
        sampleRate = rate;
        return this;
    }

    /**
     * What captures are sampled by; unless set their trace.
     *
     * @param key the key
     * @return this
     */
    public EmitterBuilder sampleBy(SampleBy key) {
        sampleBy = key;
        return this;
    }

    /**
     * How many captures a second there may be of each endpoint; unless set there is no limit.
     *
     * @param perSecond above 0
     * @return this
     */
    public EmitterBuilder rateLimit(double perSecond) {
        if (!(perSecond > 0) || Double.isInfinite(perSecond)) {
            throw new CaptureConfigException("rate limit " + perSecond + " is not a number above 0");
        }
        rateLimit = perSecond;
        return this;
    }

    /**
     * Whether errors are captured that sampling or a rate limit leaves out; unless set they are not.
     *
     * @param errors what becomes of them
     * @return this
     */
    public EmitterBuilder errors(CaptureErrors errors) {
        this.errors = errors;
        return this;
    }

    /**
     * Captures these HTTP methods alone.
     *
     * @param items methods, in any case
     * @return this
     */
    public EmitterBuilder onlyMethods(String... items) {
        each(items, methods::only);
        return this;
    }

    /**
     * Leaves these HTTP methods out.
     *
     * @param items methods, in any case
     * @return this
     */
    public EmitterBuilder skipMethods(String... items) {
        each(items, methods::skip);
        return this;
    }

    /**
     * Captures these paths alone.
     *
     * @param items paths; with {@code *} at its end all that begin so
     * @return this
     */
    public EmitterBuilder onlyPaths(String... items) {
        each(items, paths::only);
        return this;
    }

    /**
     * Leaves these paths out.
     *
     * @param items paths; with {@code *} at its end all that begin so
     * @return this
     */
    public EmitterBuilder skipPaths(String... items) {
        each(items, paths::skip);
        return this;
    }

    /**
     * Captures bodies of these content types alone.
     *
     * @param items content types; with {@code *} at its end all that begin so
     * @return this
     */
    public EmitterBuilder onlyBodyTypes(String... items) {
        each(items, bodyTypes::only);
        return this;
    }

    /**
     * Leaves bodies of these content types out.
     *
     * @param items content types; with {@code *} at its end all that begin so
     * @return this
     */
    public EmitterBuilder skipBodyTypes(String... items) {
        each(items, bodyTypes::skip);
        return this;
    }

    /**
     * Adds to the headers whose values are secret.
     *
     * @param names headers, in any case
     * @return this
     */
    public EmitterBuilder redactHeaders(String... names) {
        each(names, redactor::addHeader);
        return this;
    }

    /**
     * Takes from the headers whose values are secret.
     *
     * @param names headers, in any case
     * @return this
     */
    public EmitterBuilder keepHeaders(String... names) {
        each(names, redactor::keepHeader);
        return this;
    }

    /**
     * Adds to the names whose values are secret in query strings, forms and JSON.
     *
     * @param patterns names; {@code *} at an end stands for any characters
     * @return this
     */
    public EmitterBuilder redactNames(String... patterns) {
        each(patterns, redactor::addName);
        return this;
    }

    /**
     * Exempts names, even where another pattern lists them.
     *
     * @param patterns names; {@code *} at an end stands for any characters
     * @return this
     */
    public EmitterBuilder keepNames(String... patterns) {
        each(patterns, redactor::keepName);
        return this;
    }

    /**
     * Whether JSON and forms are looked through for secrets; unless set they are.
     *
     * @param on whether
     * @return this
     */
    public EmitterBuilder redactBodies(boolean on) {
        redactBodies = on;
        return this;
    }

    /**
     * How long a body may be to be looked through; a longer one is left out. Unless set 64 KiB.
     *
     * @param bytes 0 or more
     * @return this
     */
    public EmitterBuilder redactBuffer(int bytes) {
        redactBuffer = (int) notNegative("redact buffer", bytes);
        return this;
    }

    /**
     * Signs every line.
     *
     * @param secret 32 to 1,024 printable ASCII characters without white space
     * @return this
     */
    public EmitterBuilder signingKey(String secret) {
        return signingKey(secret, "the signing key");
    }

    /**
     * Signs every line.
     *
     * @param path a file that holds the secret alone
     * @return this
     */
    public EmitterBuilder signingKeyFile(Path path) {
        return signingKey(readSecret(path), path.toString());
    }

    EmitterBuilder signingKey(String secret, String from) {
        key = SigningKey.of(secret, from);
        return this;
    }

    /**
     * How often counts are told at most, while there is something new; unless set a minute.
     *
     * @param time the time between two
     * @return this
     */
    public EmitterBuilder metaEvery(Duration time) {
        metaEvery = time;
        return this;
    }

    /**
     * Applies the environment's variables: see the table in the README.
     *
     * @return this
     * @throws CaptureConfigException where a variable has a value that it can't have
     */
    public EmitterBuilder env() {
        return env(System.getenv());
    }

    /**
     * Applies variables that come from elsewhere.
     *
     * @param variables names and values
     * @return this
     * @throws CaptureConfigException where a variable has a value that it can't have
     */
    public EmitterBuilder env(Map<String, String> variables) {
        Environment.apply(this, variables);
        return this;
    }

    /**
     * Makes the emitter, and starts its thread.
     *
     * @return the emitter
     * @throws CaptureConfigException where the output can't be opened
     */
    public Emitter build() {
        if (output.kind == Output.Kind.OFF) {
            return Emitter.disabled();
        }
        Sink sink;
        try {
            sink = Sink.open(output);
        } catch (IOException | UnsupportedOperationException fault) {
            throw new CaptureConfigException("capture output " + output + " can't be opened: " + fault.getMessage(), fault);
        }
        String name = service != null ? service : Environment.programName();
        Settings settings = new Settings(
                name, Environment.hostName(), Identity.hex(Identity.random(8)), lineLimit, bodyLimit, sampleRate, sampleBy,
                rateLimit == null ? null : new RateLimit(rateLimit), errors, methods, paths, bodyTypes, redactor, redactBodies, redactBuffer,
                metaEvery, key == null ? null : key.copy());
        return Emitter.start(settings, queueLimit, sink);
    }

    private static long notNegative(String what, long bytes) {
        if (bytes < 0) {
            throw new CaptureConfigException(what + ' ' + bytes + " is below 0");
        }
        return bytes;
    }

    private static void each(String[] items, java.util.function.Consumer<String> add) {
        for (String item : items) {
            add.accept(item);
        }
    }

    /** A file's text, as far as a secret may reach and a little more: whatever file is named, it costs no memory. */
    private static String readSecret(Path path) {
        try (InputStream file = Files.newInputStream(path)) {
            byte[] bytes = file.readNBytes(2 * SigningKey.MAX_BYTES);
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
        } catch (CharacterCodingException fault) {
            throw new CaptureConfigException("the secret to sign with can't be read from " + path + ": it is not text", fault);
        } catch (IOException fault) {
            throw new CaptureConfigException("the secret to sign with can't be read from " + path + ": " + fault, fault);
        }
    }
}
