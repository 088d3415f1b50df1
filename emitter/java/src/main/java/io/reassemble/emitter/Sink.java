package io.reassemble.emitter;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntConsumer;

/**
 * Where lines go.
 *
 * <p>Invariants: no line is spread over two writes, save where the first was cut short; after a line that could not be written whole, the next begins
 * on a line of its own. Lines that lie ready together share a write only where that can't mix them with what others write: a regular file takes a
 * write of any length as one piece, a pipe one of up to {@code PIPE_BUF}.
 */
final class Sink {
    /** Enough that the system's share of each line is small, little enough that who else writes to the file is not held up. */
    private static final int FILE_BYTES = 64 * 1024;
    /** {@code PIPE_BUF} of Linux. */
    private static final int PIPE_BYTES = 4096;
    private static final long RETRY_NANOS = TimeUnit.MILLISECONDS.toNanos(1);
    private static final byte[] NEWLINE = {'\n'};

    private final OutputStream stream;
    private final Path path;
    private FileChannel channel;
    /** The longest write of more lines than one. */
    private int togetherBytes;
    /** What the system reads from; a heap's array would be copied into one of these each time. */
    private ByteBuffer buffer = ByteBuffer.allocateDirect(FILE_BYTES);
    private boolean torn;
    private boolean gone;

    private Sink(OutputStream stream, FileChannel channel, Path path, int togetherBytes) {
        this.stream = stream;
        this.channel = channel;
        this.path = path;
        this.togetherBytes = togetherBytes;
    }

    static Sink open(Output output) throws IOException {
        return switch (output.kind) {
            case STREAM -> new Sink(output.stream, null, null, 0);
            case FILE -> new Sink(null, append(output.path), output.path, togetherBytes(output.path));
            case DESCRIPTOR -> {
                Path name = Path.of("/dev/fd/" + output.descriptor);
                yield new Sink(null, descriptor(output.descriptor, name), null, togetherBytes(name));
            }
            case OFF -> throw new IOException("no output");
        };
    }

    /** The standard descriptors as they are; Java gives no other but by opening its name, which leaves the first one open. */
    @SuppressWarnings("resource") // Closing the stream would close the process's own descriptor.
    private static FileChannel descriptor(int number, Path name) throws IOException {
        return switch (number) {
            case 1 -> new FileOutputStream(FileDescriptor.out).getChannel();
            case 2 -> new FileOutputStream(FileDescriptor.err).getChannel();
            default -> FileChannel.open(name, StandardOpenOption.WRITE, StandardOpenOption.APPEND);
        };
    }

    /** A file for its owner alone, for captures hold what users sent. */
    private static FileChannel append(Path path) throws IOException {
        Set<StandardOpenOption> options = Set.of(StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.APPEND);
        boolean posix = path.getFileSystem().supportedFileAttributeViews().contains("posix");
        FileAttribute<?>[] attributes =
                posix ? new FileAttribute<?>[] {PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"))}
                        : new FileAttribute<?>[0];
        return FileChannel.open(path, options, attributes);
    }

    private static int togetherBytes(Path path) {
        if (Files.isRegularFile(path)) {
            return FILE_BYTES;
        }
        try {
            boolean pipe = ((int) Files.getAttribute(path, "unix:mode") & 0xF000) == 0x1000;
            return pipe ? PIPE_BYTES : 0;
        } catch (IOException | UnsupportedOperationException | IllegalArgumentException untold) {
            return 0;
        }
    }

    /** Opens the file again, after it was renamed away. Where that fails, the old file goes on. */
    void reopen() {
        if (path == null) {
            return;
        }
        try {
            FileChannel before = channel;
            channel = append(path);
            togetherBytes = togetherBytes(path);
            torn = false;
            gone = false;
            before.close();
        } catch (IOException oldFileGoesOn) {
            return;
        }
    }

    /** Whether no later write can succeed. */
    boolean isGone() {
        return gone;
    }

    /** Writes whole lines; tells where those begin that were lost, whole or in part. */
    void write(byte[] lines, int length, IntConsumer lost) {
        int at = 0;
        while (at < length) {
            int end = together(lines, at, length);
            int written = writeTogether(lines, at, end);
            // What a write that failed took of the first lines did arrive.
            int line = written == end - at ? end : afterNewline(lines, at, at + written);
            while (line < end) {
                lost.accept(line);
                line = nextLine(lines, line, end);
            }
            at = end;
        }
        if (stream != null) {
            try {
                stream.flush();
            } catch (IOException | RuntimeException | Error fault) {
                gone |= isGone(fault);
            }
        }
    }

    /** Where the lines end that the next write takes. */
    private int together(byte[] lines, int at, int length) {
        if (length - at <= togetherBytes) {
            return length;
        }
        int end = afterNewline(lines, at, at + togetherBytes);
        return end > at ? end : nextLine(lines, at, length);
    }

    /** Behind the last newline of a range; its start where there is none. */
    private static int afterNewline(byte[] lines, int from, int to) {
        for (int at = to; at > from; at--) {
            if (lines[at - 1] == '\n') {
                return at;
            }
        }
        return from;
    }

    private static int nextLine(byte[] lines, int from, int end) {
        int at = from;
        while (at < end && lines[at] != '\n') {
            at++;
        }
        return Math.min(at + 1, end);
    }

    /** How many of the bytes were written. */
    private int writeTogether(byte[] lines, int from, int to) {
        if (gone || torn && !write(NEWLINE, 0, 1)) {
            return 0;
        }
        torn = false;
        return write(lines, from, to) ? to - from : buffer.position();
    }

    /** False where not all was written; {@link #buffer} then stands where the write stopped. */
    private boolean write(byte[] bytes, int from, int to) {
        int count = to - from;
        if (buffer.capacity() < count) {
            buffer = ByteBuffer.allocateDirect(count);
        }
        buffer.clear();
        try {
            if (stream != null) {
                stream.write(bytes, from, count);
                return true;
            }
            buffer.put(bytes, from, count).flip();
            while (channel.write(buffer) < count && buffer.hasRemaining()) {
                // Somebody who shares the descriptor has set it not to block.
                LockSupport.parkNanos(RETRY_NANOS);
            }
            return true;
        } catch (IOException | RuntimeException | Error fault) {
            int written = stream == null ? buffer.position() : 0;
            torn |= written > 0 && bytes[from + written - 1] != '\n';
            gone |= isGone(fault);
            return false;
        }
    }

    private static boolean isGone(Throwable fault) {
        String said = String.valueOf(fault.getMessage());
        return fault instanceof ClosedChannelException || said.contains("Broken pipe") || said.contains("Bad file descriptor");
    }
}
