package io.reassemble.emitter;

import java.io.OutputStream;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;

/** Where lines go. */
public final class Output {
    enum Kind { OFF, DESCRIPTOR, FILE, STREAM }

    final Kind kind;
    final int descriptor;
    final Path path;
    final OutputStream stream;

    private Output(Kind kind, int descriptor, Path path, OutputStream stream) {
        this.kind = kind;
        this.descriptor = descriptor;
        this.path = path;
        this.stream = stream;
    }

    /**
     * Nowhere: nothing is captured, and no thread runs.
     *
     * @return the output
     */
    public static Output off() {
        return new Output(Kind.OFF, -1, null, null);
    }

    /**
     * Standard output, past {@link System#out}: no lock or buffer of Java's is shared.
     *
     * @return the output
     */
    public static Output stdout() {
        return descriptor(1);
    }

    /**
     * Standard error, past {@link System#err}.
     *
     * @return the output
     */
    public static Output stderr() {
        return descriptor(2);
    }

    /**
     * An open descriptor of a file or pipe, which is not closed. Other numbers than 1 and 2 need {@code /dev/fd}, and are no sockets.
     *
     * @param number the descriptor's number
     * @return the output
     */
    public static Output descriptor(int number) {
        return new Output(Kind.DESCRIPTOR, number, null, null);
    }

    /**
     * A file, appended to; created with mode 0600. {@link Emitter#reopen} follows a rotation.
     *
     * @param path the file's path
     * @return the output
     */
    public static Output file(Path path) {
        return new Output(Kind.FILE, -1, path, null);
    }

    /**
     * Anything else that takes bytes; it gets each line in one call, from the emitter's thread alone.
     *
     * @param stream takes the lines; it is not closed
     * @return the output
     */
    public static Output stream(OutputStream stream) {
        return new Output(Kind.STREAM, -1, null, stream);
    }

    /** Reads what {@code CAPTURE_OUTPUT} may hold. */
    static Output parse(String text) {
        switch (text) {
            case "off":
                return off();
            case "stdout":
                return stdout();
            case "stderr":
                return stderr();
            default:
        }
        if (text.startsWith("fd:")) {
            if (text.matches("fd:[0-9]{1,9}")) {
                return descriptor(Integer.parseInt(text.substring(3)));
            }
            throw Environment.refused("CAPTURE_OUTPUT", text, "stdout, stderr, off, fd:N or a file's path");
        }
        try {
            return file(Path.of(text));
        } catch (InvalidPathException fault) {
            throw Environment.refused("CAPTURE_OUTPUT", text, "stdout, stderr, off, fd:N or a file's path");
        }
    }

    @Override
    public String toString() {
        return switch (kind) {
            case OFF -> "off";
            case DESCRIPTOR -> descriptor == 1 ? "stdout" : descriptor == 2 ? "stderr" : "fd:" + descriptor;
            case FILE -> path.toString();
            case STREAM -> "a stream";
        };
    }
}
