package shop;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.events.SQSBatchResponse;
import com.amazonaws.services.lambda.runtime.events.SQSEvent;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.reassemble.emitter.CaptureLambda;
import io.reassemble.emitter.Emitter;
import java.util.List;

/** Takes orders off a queue as {@link Worker} does, in the event's own type. */
public final class Typed implements RequestHandler<SQSEvent, SQSBatchResponse> {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Emitter EMITTER = Emitter.fromEnv();

    @Override
    public SQSBatchResponse handleRequest(SQSEvent event, Context context) {
        return CaptureLambda.handle(EMITTER, event, messages -> take(messages, context));
    }

    private static SQSBatchResponse take(SQSEvent messages, Context context) {
        for (SQSEvent.SQSMessage message : messages.getRecords()) {
            JsonNode order;
            try {
                order = JSON.readTree(message.getBody());
            } catch (JsonProcessingException fault) {
                throw new IllegalArgumentException(fault);
            }
            context.getLogger().log(order.path("qty") + "\n  of " + order.path("item").asText() + "\n");
        }
        return new SQSBatchResponse(List.of());
    }
}
