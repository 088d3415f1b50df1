package io.reassemble.emitter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

class IdentityTest {
    @Test
    void idsAreOfVersion7AndTellTheirTime() {
        byte[] ones = new byte[10];
        Arrays.fill(ones, (byte) 0xFF);
        assertEquals("018bcfe5-687b-7fff-bfff-ffffffffffff", Identity.captureId(1_700_000_000_123_456L, ones));
    }

    @Test
    void samplingComparesTheCrcWithTheRate() {
        // CRC-32 of "123456789" is cbf43926, which is 0.7967 of 2^32.
        assertTrue(Identity.isSampled("123456789", 0.797) && !Identity.isSampled("123456789", 0.796));
        assertTrue(Identity.isSampled("123456789", 1) && !Identity.isSampled("123456789", 0));
    }

    @Test
    void onlyValidTraceparentsAreTaken() {
        assertTrue(TraceParent.parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").isPresent());
        assertTrue(TraceParent.parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").isPresent());
        for (String bad : new String[] {
            null,
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
        }) {
            assertTrue(TraceParent.parse(bad).isEmpty(), bad);
        }
    }

    @Test
    void madeTraceparentsAreValidAndChildrenShareTheirTrace() {
        TraceParent trace = TraceParent.make();
        TraceParent child = trace.child();
        assertEquals(trace, TraceParent.parse(trace.toString()).orElseThrow());
        assertEquals(child, TraceParent.parse(child.toString()).orElseThrow());
        assertEquals(trace.traceId(), child.traceId());
        assertNotEquals(trace, child);
    }

    @Test
    void contextsNestReachOtherThreadsAndAreRestored() throws Exception {
        CaptureContext outer = new CaptureContext("outer", TraceParent.make());
        CaptureContext inner = new CaptureContext("inner", TraceParent.make());
        AtomicReference<CaptureContext> seen = new AtomicReference<>();
        outer.run(() -> {
            try {
                inner.call(() -> {
                    throw new IllegalStateException("handler");
                });
                throw new AssertionError("the fault was lost");
            } catch (Exception fault) {
                assertEquals("handler", fault.getMessage());
            }
            assertEquals(outer, CaptureContext.current().orElseThrow());
            CaptureContext.wrap(task -> {
                Thread thread = new Thread(task);
                thread.start();
                try {
                    thread.join();
                } catch (InterruptedException fault) {
                    throw new AssertionError(fault);
                }
            }).execute(() -> seen.set(CaptureContext.current().orElse(null)));
        });
        assertEquals(outer, seen.get());
        assertFalse(CaptureContext.current().isPresent());
    }
}
