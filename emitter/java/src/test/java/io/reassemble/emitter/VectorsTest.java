package io.reassemble.emitter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** Every vector of the specification that concerns writers. */
class VectorsTest {
    private static final Path VECTORS = Path.of("../../formats/spec/vectors");

    @TestFactory
    List<DynamicTest> linesAreThoseOfTheVectors() throws IOException {
        List<DynamicTest> tests = new ArrayList<>();
        try (Stream<Path> files = Files.list(VECTORS.resolve("emit"))) {
            for (Path file : files.filter(path -> path.toString().endsWith(".json")).sorted().toList()) {
                for (String feed : List.of("given", "whole", "bytes")) {
                    tests.add(DynamicTest.dynamicTest(file.getFileName() + " " + feed, () -> check(file, feed)));
                }
            }
        }
        assertFalse(tests.isEmpty());
        return tests;
    }

    private static void check(Path file, String feed) throws IOException {
        Path lines = Path.of(file.toString().replaceFirst("json$", "lines"));
        byte[] written = Conformance.lines(Json.object(Json.read(Files.readString(file))), feed);
        assertEquals(Files.readString(lines), new String(written, StandardCharsets.UTF_8));
    }

    @TestFactory
    List<DynamicTest> secretsAreKeptAsTheCasesSay() throws IOException {
        List<DynamicTest> tests = new ArrayList<>();
        for (Object item : Json.list(Json.read(Files.readString(VECTORS.resolve("redact/vectors.json"))))) {
            Map<String, Object> given = Json.object(item);
            tests.add(DynamicTest.dynamicTest(
                    given.get("kind") + ": " + given.get("what"), () -> assertEquals(given.get("output"), Conformance.redacted(given))));
        }
        assertFalse(tests.isEmpty());
        return tests;
    }
}
