package io.reassemble.emitter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;

class LambdaTest {
    private final Captured.Kept kept = Captured.keep(Emitter.builder().service("function"));
    private final ByteArrayOutputStream answer = new ByteArrayOutputStream();

    private static ByteArrayInputStream event(String json) {
        return new ByteArrayInputStream(json.getBytes(StandardCharsets.UTF_8));
    }

    @Test
    void anInvocationIsCapturedAndWrittenBeforeItReturns() throws IOException {
        CaptureLambda.handle(kept.emitter, event("{\"order\":7,\"token\":\"s3cret\"}"), answer, (in, out) -> {
            assertTrue(CaptureContext.current().orElseThrow().id().isPresent());
            // Up to the last byte, and not beyond.
            out.write(in.readNBytes(28));
        });
        Captured.One one = kept.now().captures.get(0);
        assertEquals("{\"order\":7,\"token\":\"s3cret\"}", answer.toString(StandardCharsets.UTF_8));
        assertEquals(List.of("in", "lambda", "invoke"),
                List.of(one.req.head.get("dir"), one.req.head.get("proto"), one.req.head.get("method")));
        assertEquals("{\"order\":7,\"token\":\"[redacted]\"}", one.req.text());
        assertEquals("{\"order\":7,\"token\":\"[redacted]\"}", one.res.text());
        assertNull(one.req.error());
        assertEquals("OK", one.res.head.get("status"));
        assertTrue(CaptureContext.current().isEmpty());
    }

    @Test
    void whatAHandlerThrowsPassesAndIsTold() {
        assertThrows(IOException.class, () -> CaptureLambda.handle(kept.emitter, event("{}"), answer, (in, out) -> {
            throw new IOException("no");
        }));
        Captured.One one = kept.now().captures.get(0);
        assertEquals("handler failed: java.io.IOException", one.res.error());
        assertEquals("body not read", one.req.error());
    }
}
