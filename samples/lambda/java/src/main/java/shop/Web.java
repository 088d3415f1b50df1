package shop;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.reassemble.emitter.CaptureHttpClient;
import io.reassemble.emitter.CaptureLambda;
import io.reassemble.emitter.Emitter;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

/** Answers HTTP, whether an API Gateway, a load balancer or a function URL sends the event. */
public final class Web implements RequestStreamHandler {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Emitter EMITTER = Emitter.fromEnv();
    private static final HttpClient CLIENT =
            CaptureHttpClient.wrap(HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build(), EMITTER);

    @Override
    public void handleRequest(InputStream event, OutputStream answer, Context context) throws IOException {
        CaptureLambda.handle(EMITTER, event, answer, (in, out) -> JSON.writeValue(out, serve(JSON.readTree(in), context)));
    }

    private static JsonNode serve(JsonNode event, Context context) throws IOException {
        String path = event.path("rawPath").asText() + event.path("path").asText(); // an event has one of the two
        context.getLogger().log("asked for\n  " + path + "\n");
        if (path.endsWith("/call")) {
            return answer(event, "text/plain", call(event.at("/queryStringParameters/to").asText()));
        }
        String text = event.path("body").isNull() ? "" : event.path("body").asText();
        byte[] body = event.path("isBase64Encoded").asBoolean() ? Base64.getDecoder().decode(text) : text.getBytes(StandardCharsets.UTF_8);
        return answer(event, contentType(event), body);
    }

    /** Asks whoever is named: the call shares this invocation's trace. */
    private static byte[] call(String to) throws IOException {
        try {
            HttpRequest request = HttpRequest.newBuilder(URI.create(to)).POST(BodyPublishers.ofString("called")).build();
            return CLIENT.send(request, BodyHandlers.ofByteArray()).body();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new IOException(interrupted);
        }
    }

    /** The event's content type; a load balancer may give headers as lists alone. */
    private static String contentType(JsonNode event) {
        for (var header : event.path(event.has("multiValueHeaders") ? "multiValueHeaders" : "headers").properties()) {
            if (header.getKey().equalsIgnoreCase("content-type")) {
                return header.getValue().isArray() ? header.getValue().path(0).asText() : header.getValue().asText();
            }
        }
        return "text/plain";
    }

    /** Two cookies, in the form that the event's sender takes. */
    private static ObjectNode answer(JsonNode event, String contentType, byte[] body) {
        ObjectNode answer = JSON.createObjectNode().put("statusCode", 200).put("body", Base64.getEncoder().encodeToString(body))
                .put("isBase64Encoded", true);
        if (event.has("multiValueHeaders")) {
            ObjectNode headers = answer.putObject("multiValueHeaders");
            headers.putArray("content-type").add(contentType);
            headers.putArray("set-cookie").add("visit=1").add("seen=2");
        } else {
            answer.putObject("headers").put("content-type", contentType);
            answer.putArray("cookies").add("visit=1").add("seen=2");
        }
        return answer;
    }
}
