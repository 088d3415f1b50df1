package io.reassemble.emitter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EnvironmentTest {
    private static Settings settings(EmitterBuilder builder) {
        Captured.Kept kept = Captured.keep(builder);
        kept.emitter.close();
        return kept.emitter.shared().settings;
    }

    @Test
    void variablesSetWhatTheyName() {
        Map<String, String> variables = new LinkedHashMap<>(Map.of(
                "OTEL_SERVICE_NAME", "other", "CAPTURE_SERVICE", "shop", "CAPTURE_LINE_LIMIT", "64 KiB", "CAPTURE_BODY_LIMIT", "8MiB",
                "CAPTURE_SAMPLE_RATE", "0.25", "CAPTURE_SAMPLE_BY", "id", "CAPTURE_ERRORS", "always", "CAPTURE_REDACT_BODIES", "off",
                "CAPTURE_REDACT_BUFFER", "1KiB"));
        variables.putAll(Map.of(
                "CAPTURE_RATE_LIMIT", "0.5", "CAPTURE_SKIP_PATHS", "/health, /assets/*,", "CAPTURE_ONLY_METHODS", "get,Post",
                "CAPTURE_ONLY_BODY_TYPES", "Text/*", "CAPTURE_SKIP_BODY_TYPES", "text/csv", "CAPTURE_REDACT_HEADERS", "x-pin",
                "CAPTURE_KEEP_HEADERS", "Cookie", "CAPTURE_REDACT_NAMES", "iban*", "CAPTURE_KEEP_NAMES", "author"));
        Settings set = settings(Emitter.builder().env(variables));
        assertEquals(List.of("shop", 65_536, 8L << 20, 0.25, SampleBy.ID, CaptureErrors.ALWAYS, false, 1024),
                List.of(set.service(), set.lineLimit(), set.bodyLimit(), set.sampleRate(), set.sampleBy(), set.errors(), set.redactBodies(),
                        set.redactBuffer()));
        assertTrue(set.rateLimit() != null && set.methods().lets("POST") && !set.methods().lets("PUT"));
        assertTrue(set.paths().lets("/a") && !set.paths().lets("/health") && !set.paths().lets("/assets/x"));
        assertTrue(set.bodyTypes().lets("text/html") && !set.bodyTypes().lets("text/csv") && !set.bodyTypes().lets("image/png"));
        assertTrue(set.redactor().isSecretHeader("X-Pin") && !set.redactor().isSecretHeader("cookie"));
        assertTrue(set.redactor().isSecretName("IBAN_1") && !set.redactor().isSecretName("author"));
    }

    @Test
    void wrongValuesAreNamed() {
        for (String[] wrong : new String[][] {
            {"CAPTURE_BODY_LIMIT", "8MB", "a number of bytes (4096, 64KiB, 8MiB, 1GiB)"},
            {"CAPTURE_BODY_LIMIT", "999999999999999GiB", "a number of bytes (4096, 64KiB, 8MiB, 1GiB)"},
            {"CAPTURE_LINE_LIMIT", "511", "a number of bytes (4096, 64KiB, 8MiB, 1GiB) from 512 to 262144"},
            {"CAPTURE_SAMPLE_RATE", "2", "a share within 0 to 1"},
            {"CAPTURE_SAMPLE_RATE", "NaN", "a share within 0 to 1"},
            {"CAPTURE_SAMPLE_BY", "path", "trace or id"},
            {"CAPTURE_RATE_LIMIT", "0", "a number above 0"},
            {"CAPTURE_ERRORS", "never", "sampled or always"},
            {"CAPTURE_REDACT_BODIES", "yes", "on or off"},
            {"CAPTURE_OUTPUT", "fd:x", "stdout, stderr, off, fd:N or a file's path"},
        }) {
            Map<String, String> variables = Map.of(wrong[0], wrong[1]);
            String said = assertThrows(CaptureConfigException.class, () -> Emitter.builder().env(variables)).getMessage();
            assertEquals(wrong[0] + "=\"" + wrong[1] + "\" is not " + wrong[2], said);
            Emitter.builder().env(Map.of(wrong[0], ""));
        }
    }

    @Test
    void whatIsAppliedLaterWins() {
        assertEquals("call", settings(Emitter.builder().service("call").env(Map.of("OTEL_SERVICE_NAME", "otel"))).service());
        assertEquals("env", settings(Emitter.builder().service("call").env(Map.of("CAPTURE_SERVICE", "env"))).service());
        assertEquals("call", settings(Emitter.builder().env(Map.of("CAPTURE_SERVICE", "env")).service("call")).service());
        assertFalse(settings(Emitter.builder()).service().isEmpty());
    }

    @Test
    void aSigningKeyComesFromAVariableOrAFileAndIsNeverTold(@TempDir Path folder) throws Exception {
        String secret = "8d0f3c2e9a7b465180d2b6f4c1e3a597";
        Path good = Files.writeString(folder.resolve("good"), secret + "\n");
        Path large = Files.write(folder.resolve("large"), new byte[1 << 20]);
        Path binary = Files.write(folder.resolve("binary"), new byte[] {-1});
        assertTrue(settings(Emitter.builder().env(Map.of("CAPTURE_SIGNING_KEY", secret))).key() != null);
        assertTrue(settings(Emitter.builder().env(Map.of("CAPTURE_SIGNING_KEY_FILE", good.toString()))).key() != null);
        for (Map<String, String> wrong : List.of(
                Map.of("CAPTURE_SIGNING_KEY", "hunter2"),
                Map.of("CAPTURE_SIGNING_KEY", secret + " " + secret),
                Map.of("CAPTURE_SIGNING_KEY_FILE", large.toString()),
                Map.of("CAPTURE_SIGNING_KEY_FILE", binary.toString()),
                Map.of("CAPTURE_SIGNING_KEY_FILE", "/no/such"),
                Map.of("CAPTURE_SIGNING_KEY", secret, "CAPTURE_SIGNING_KEY_FILE", good.toString()))) {
            String said = assertThrows(CaptureConfigException.class, () -> Emitter.builder().env(wrong)).getMessage();
            assertFalse(said.contains("hunter2") || said.contains(secret), said);
            assertTrue(wrong.keySet().stream().anyMatch(said::contains) || wrong.values().stream().anyMatch(said::contains), said);
        }
    }

    @Test
    void anOutputThatCantBeOpenedIsNamed() {
        String said = assertThrows(
                CaptureConfigException.class, () -> Emitter.builder().env(Map.of("CAPTURE_OUTPUT", "/no/such/file")).build()).getMessage();
        assertTrue(said.startsWith("capture output /no/such/file can't be opened"), said);
    }
}
