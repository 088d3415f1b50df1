package io.reassemble.emitter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** An app in a process of its own: its end, its descriptors, and its lines as the real reader pairs them. */
class ProcessTest {
    private static final String SECRET = "8d0f3c2e9a7b465180d2b6f4c1e3a597";

    /** Prints among its captures, and ends by {@code System.exit} with one still open. */
    static final class App {
        private App() {}

        public static void main(String[] arguments) {
            Emitter emitter = Emitter.fromEnv();
            for (int at = 0; at < 200; at++) {
                System.out.println("app says " + at);
                Capture capture = emitter.begin("http/1.1", "POST", "http://h/a?token=s3cret&n=" + at).header("content-type", "text/plain").start();
                capture.requestBody("é".repeat(at * 20));
                capture.respond(200, List.of(new Header("Content-Type", "application/octet-stream")));
                capture.responseBody(new byte[at * 30]);
                capture.finish();
            }
            emitter.begin("http/1.1", "POST", "http://h/open").start().requestBody("started");
            System.exit(0);
        }
    }

    /** A typed Lambda handler, where nothing of Lambda's is on the class path. */
    static final class Typed {
        private Typed() {}

        public static void main(String[] arguments) {
            String answer = CaptureLambda.handle(Emitter.fromEnv(), "asked", event -> event + " and answered");
            System.exit(answer.equals("asked and answered") ? 0 : 1);
        }
    }

    private static int run(ProcessBuilder builder) throws IOException, InterruptedException {
        return builder.redirectError(ProcessBuilder.Redirect.INHERIT).start().waitFor();
    }

    private static List<String> app() {
        return java(System.getProperty("java.class.path"), App.class);
    }

    private static List<String> java(String classPath, Class<?> main) {
        return List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp",
                classPath, main.getName());
    }

    private static ProcessBuilder started(List<String> command, Map<String, String> environment) {
        ProcessBuilder builder = new ProcessBuilder(command);
        builder.environment().keySet().removeIf(name -> name.startsWith("CAPTURE_"));
        builder.environment().putAll(environment);
        return builder;
    }

    private static void check(Path log) throws IOException {
        StringBuilder lines = new StringBuilder();
        int said = 0;
        for (String line : Files.readAllLines(log)) {
            if (line.startsWith("app says ")) {
                assertEquals("app says " + said++, line);
            } else {
                lines.append(line).append('\n');
            }
        }
        Captured captured = Captured.of(lines.toString().getBytes(java.nio.charset.StandardCharsets.UTF_8));
        assertEquals(201, captured.captures.size());
        Captured.One last = captured.byUrl("&n=199");
        assertEquals("é".repeat(199 * 20), last.req.text());
        assertEquals(199 * 30, last.res.body.size());
        assertEquals("shutdown", captured.byUrl("/open").res.error());
        assertEquals("started", captured.byUrl("/open").req.text());
        assertEquals(Json.read("201"), captured.metas.get(captured.metas.size() - 1).get("finished"));
    }

    @Test
    void allIsWrittenWhenTheProcessEnds(@TempDir Path folder) throws Exception {
        Path file = folder.resolve("file.log");
        assertEquals(0, run(started(app(), Map.of("CAPTURE_SERVICE", "app")).redirectOutput(file.toFile())));
        check(file);
    }

    @Test
    void aPipeAndAnOpenDescriptorTakeLinesToo(@TempDir Path folder) throws Exception {
        assumeTrue(Files.exists(Path.of("/dev/fd/1")), "this system has no /dev/fd");
        Path piped = folder.resolve("pipe.log");
        Path third = folder.resolve("third.log");
        List<String> command = new ArrayList<>(List.of("sh", "-c", "\"$@\" | cat >\"$LOG\"", "sh"));
        command.addAll(app());
        assertEquals(0, run(started(command, Map.of("LOG", piped.toString()))));
        check(piped);
        command.set(2, "\"$@\" 3>>\"$LOG\"");
        assertEquals(0, run(started(command, Map.of("LOG", third.toString(), "CAPTURE_OUTPUT", "fd:3"))
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)));
        check(third);
    }

    @Test
    void aTypedHandlerAnswersWithoutLambdasLibraries(@TempDir Path folder) throws Exception {
        Path file = folder.resolve("file.log");
        List<String> places = new ArrayList<>();
        for (Class<?> one : List.of(Emitter.class, Typed.class)) {
            places.add(Path.of(one.getProtectionDomain().getCodeSource().getLocation().toURI()).toString());
        }
        List<String> command = java(String.join(File.pathSeparator, places), Typed.class);
        assertEquals(0, run(started(command, Map.of("CAPTURE_SERVICE", "app")).redirectOutput(file.toFile())));
        Captured.One one = Captured.of(Files.readAllBytes(file)).captures.get(0);
        assertEquals(List.of("body not captured", "body not captured"), List.of(one.req.error(), one.res.error()));
    }

    @Test
    void theReaderPairsWhatWasPrinted(@TempDir Path folder) throws Exception {
        String reader = System.getenv("REASSEMBLE");
        assumeTrue(reader != null && !reader.isEmpty(), "REASSEMBLE names no reader, so nothing is paired");
        for (Map<String, String> settings : List.of(
                Map.<String, String>of(), Map.of("CAPTURE_LINE_LIMIT", "512", "CAPTURE_SIGNING_KEY", SECRET))) {
            Path log = folder.resolve("app" + settings.size() + ".log");
            Path store = folder.resolve("store" + settings.size());
            Map<String, String> environment = new HashMap<>(settings);
            environment.put("CAPTURE_SERVICE", "app");
            assertEquals(0, run(started(app(), environment).redirectOutput(log.toFile())));
            List<String> command = new ArrayList<>(List.of(reader, log.toString(), "--to", store.toString(), "--compression", "none"));
            if (!settings.isEmpty()) {
                Path keys = Files.writeString(folder.resolve("keys"), "test " + SECRET + " app\n");
                command.addAll(List.of("--key-file", keys.toString()));
            }
            // Its summary is for people, and told where it fails.
            Path said = folder.resolve("said");
            int ended = new ProcessBuilder(command).redirectOutput(ProcessBuilder.Redirect.DISCARD).redirectError(said.toFile()).start().waitFor();
            assertEquals("", ended == 0 ? "" : Files.readString(said));
            checkStored(store);
        }
    }

    private static void checkStored(Path store) throws IOException {
        List<Map<String, Object>> exchanges = new ArrayList<>();
        try (Stream<Path> files = Files.walk(store)) {
            for (Path file : files.filter(path -> path.toString().endsWith(".ndjson")).toList()) {
                for (String line : Files.readAllLines(file)) {
                    exchanges.add(Json.object(Json.read(line)));
                }
            }
        }
        assertEquals(201, exchanges.size());
        for (Map<String, Object> exchange : exchanges) {
            Map<String, Object> request = Json.object(exchange.get("request"));
            String url = (String) request.get("url");
            assertEquals(List.of(true, List.of(), "app"), List.of(exchange.get("complete"), exchange.get("problems"), exchange.get("service")));
            if (url.contains("&n=")) {
                int at = Integer.parseInt(url.substring(url.indexOf("&n=") + 3));
                assertTrue(url.contains("token=[redacted]"));
                assertEquals("é".repeat(at * 20), Json.object(request.get("body")).get("text"));
                Map<String, Object> response = Json.object(exchange.get("response"));
                assertEquals(Json.read(String.valueOf(at * 30)), Json.object(response.get("body")).get("len"));
            }
        }
    }
}
