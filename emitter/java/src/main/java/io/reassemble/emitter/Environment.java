package io.reassemble.emitter;

import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What the environment sets (C-1), and what it tells of the process. */
final class Environment {
    private static final Pattern SIZE = Pattern.compile("([0-9]{1,15})\\s*(KiB|MiB|GiB)?");
    private static final Pattern NUMBER = Pattern.compile("[0-9]+(?:\\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\\.[0-9]+(?:[eE][+-]?[0-9]+)?");

    private final Map<String, String> variables;

    private Environment(Map<String, String> variables) {
        this.variables = variables;
    }

    /** Applies each variable that is set and not empty. */
    static void apply(EmitterBuilder builder, Map<String, String> variables) {
        new Environment(variables).apply(builder);
    }

    private void apply(EmitterBuilder b) {
        String otel = variables.getOrDefault("OTEL_SERVICE_NAME", "");
        if (!otel.isEmpty() && !b.hasService()) {
            b.service(otel);
        }
        take("CAPTURE_SERVICE", b::service);
        take("CAPTURE_OUTPUT", value -> b.output(Output.parse(value)));
        take("CAPTURE_LINE_LIMIT", value -> b.lineLimit((int) size("CAPTURE_LINE_LIMIT", value, 512, 262_144)));
        take("CAPTURE_BODY_LIMIT", value -> b.bodyLimit(size("CAPTURE_BODY_LIMIT", value, 0, Long.MAX_VALUE)));
        take("CAPTURE_QUEUE_LIMIT", value -> b.queueLimit(size("CAPTURE_QUEUE_LIMIT", value, 0, Long.MAX_VALUE)));
        take("CAPTURE_SAMPLE_RATE", value -> {
            double rate = number(value);
            if (!(rate <= 1)) {
                throw refused("CAPTURE_SAMPLE_RATE", value, "a share within 0 to 1");
            }
            b.sampleRate(rate);
        });
        take("CAPTURE_SAMPLE_BY", value -> b.sampleBy(switch (value) {
            case "trace" -> SampleBy.TRACE;
            case "id" -> SampleBy.ID;
            default -> throw refused("CAPTURE_SAMPLE_BY", value, "trace or id");
        }));
        take("CAPTURE_RATE_LIMIT", value -> {
            double limit = number(value);
            if (!(limit > 0) || Double.isInfinite(limit)) {
                throw refused("CAPTURE_RATE_LIMIT", value, "a number above 0");
            }
            b.rateLimit(limit);
        });
        take("CAPTURE_ERRORS", value -> b.errors(switch (value) {
            case "sampled" -> CaptureErrors.SAMPLED;
            case "always" -> CaptureErrors.ALWAYS;
            default -> throw refused("CAPTURE_ERRORS", value, "sampled or always");
        }));
        takeList("CAPTURE_ONLY_METHODS", b::onlyMethods);
        takeList("CAPTURE_SKIP_METHODS", b::skipMethods);
        takeList("CAPTURE_ONLY_PATHS", b::onlyPaths);
        takeList("CAPTURE_SKIP_PATHS", b::skipPaths);
        takeList("CAPTURE_ONLY_BODY_TYPES", b::onlyBodyTypes);
        takeList("CAPTURE_SKIP_BODY_TYPES", b::skipBodyTypes);
        takeList("CAPTURE_REDACT_HEADERS", b::redactHeaders);
        takeList("CAPTURE_KEEP_HEADERS", b::keepHeaders);
        takeList("CAPTURE_REDACT_NAMES", b::redactNames);
        takeList("CAPTURE_KEEP_NAMES", b::keepNames);
        take("CAPTURE_REDACT_BODIES", value -> b.redactBodies(switch (value) {
            case "on" -> true;
            case "off" -> false;
            default -> throw refused("CAPTURE_REDACT_BODIES", value, "on or off");
        }));
        take("CAPTURE_REDACT_BUFFER", value -> b.redactBuffer((int) size("CAPTURE_REDACT_BUFFER", value, 0, 1 << 30)));
        if (isSet("CAPTURE_SIGNING_KEY") && isSet("CAPTURE_SIGNING_KEY_FILE")) {
            throw new CaptureConfigException("CAPTURE_SIGNING_KEY and CAPTURE_SIGNING_KEY_FILE are both set; set one of them");
        }
        take("CAPTURE_SIGNING_KEY", value -> b.signingKey(value, "CAPTURE_SIGNING_KEY"));
        take("CAPTURE_SIGNING_KEY_FILE", value -> b.signingKeyFile(Path.of(value)));
    }

    private boolean isSet(String name) {
        return !variables.getOrDefault(name, "").isEmpty();
    }

    private void take(String name, Consumer<String> apply) {
        if (isSet(name)) {
            apply.accept(variables.get(name));
        }
    }

    private void takeList(String name, Consumer<String[]> apply) {
        take(name, value -> {
            for (String item : value.split(",")) {
                if (!item.isBlank()) {
                    apply.accept(new String[] {item.strip()});
                }
            }
        });
    }

    /** A number of bytes, plain or in {@code KiB}, {@code MiB} or {@code GiB}. */
    private static long size(String name, String value, long least, long most) {
        Matcher matcher = SIZE.matcher(value);
        if (matcher.matches()) {
            String unit = matcher.group(2) == null ? "" : matcher.group(2);
            int shift = switch (unit) {
                case "KiB" -> 10;
                case "MiB" -> 20;
                case "GiB" -> 30;
                default -> 0;
            };
            long number = Long.parseLong(matcher.group(1));
            if (number <= Long.MAX_VALUE >> shift && number << shift >= least && number << shift <= most) {
                return number << shift;
            }
        }
        String range = least == 0 ? "" : " from " + least + " to " + most;
        throw refused(name, value, "a number of bytes (4096, 64KiB, 8MiB, 1GiB)" + range);
    }

    /** A plain number, none of Java's own spellings; not a number where it is none. */
    private static double number(String value) {
        return NUMBER.matcher(value).matches() ? Double.parseDouble(value) : Double.NaN;
    }

    static CaptureConfigException refused(String name, String value, String expected) {
        return new CaptureConfigException(name + "=\"" + value + "\" is not " + expected);
    }

    /** The jar's name, or the main class's. */
    static String programName() {
        String command = System.getProperty("sun.java.command", "").strip().split("\\s", 2)[0];
        if (command.endsWith(".jar")) {
            String file = new File(command).getName();
            return file.substring(0, file.length() - 4);
        }
        return command;
    }

    /** The host's name as the system has it, without asking a name server where that can be helped; empty where none is told. */
    static String hostName() {
        try {
            return Files.readString(Path.of("/proc/sys/kernel/hostname")).strip();
        } catch (IOException | SecurityException noLinux) {
            try {
                return InetAddress.getLocalHost().getHostName();
            } catch (UnknownHostException fault) {
                return "";
            }
        }
    }
}
