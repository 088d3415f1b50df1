package shop;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.reassemble.emitter.CaptureLambda;
import io.reassemble.emitter.Emitter;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

/** Takes orders off a queue; a batch with one that is no JSON fails whole. */
public final class Worker implements RequestStreamHandler {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Emitter EMITTER = Emitter.fromEnv();

    @Override
    public void handleRequest(InputStream event, OutputStream answer, Context context) throws IOException {
        CaptureLambda.handle(EMITTER, event, answer, (in, out) -> {
            for (JsonNode message : JSON.readTree(in).path("Records")) {
                JsonNode order = JSON.readTree(message.path("body").asText());
                context.getLogger().log(order.path("qty") + "\n  of " + order.path("item").asText() + "\n");
            }
            out.write("{\"batchItemFailures\":[]}".getBytes(StandardCharsets.UTF_8));
        });
    }
}
