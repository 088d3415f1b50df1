package io.reassemble.emitter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.amazonaws.services.lambda.runtime.events.APIGatewayProxyRequestEvent;
import com.amazonaws.services.lambda.runtime.events.APIGatewayProxyResponseEvent;
import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPEvent;
import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPResponse;
import com.amazonaws.services.lambda.runtime.events.ApplicationLoadBalancerRequestEvent;
import com.amazonaws.services.lambda.runtime.events.SQSBatchResponse;
import com.amazonaws.services.lambda.runtime.events.SQSEvent;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class LambdaTest {
    private static final String TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    private final Captured.Kept kept = Captured.keep(Emitter.builder().service("function").skipPaths("/health"));
    private final ByteArrayOutputStream answer = new ByteArrayOutputStream();

    private static ByteArrayInputStream event(String json) {
        return new ByteArrayInputStream(json.getBytes(StandardCharsets.UTF_8));
    }

    /** What is captured of an event that is answered so; neither may change on its way. */
    private Captured.One invoked(String event, String answered) throws IOException {
        answer.reset();
        CaptureLambda.handle(kept.emitter, event(event), answer, (in, out) -> {
            assertEquals(event, new String(in.readAllBytes(), StandardCharsets.UTF_8));
            out.write(answered.getBytes(StandardCharsets.UTF_8));
        });
        assertEquals(answered, answer.toString(StandardCharsets.UTF_8));
        List<Captured.One> captures = kept.now().captures;
        return captures.get(captures.size() - 1);
    }

    private static List<String> values(Captured.Side side, String name) {
        return Json.list(side.head.get("headers")).stream().map(Json::list).filter(pair -> name.equalsIgnoreCase((String) pair.get(0)))
                .map(pair -> (String) pair.get(1)).toList();
    }

    private static List<Object> told(Captured.One one) {
        return Arrays.asList(
                one.req.head.get("dir"), one.req.head.get("proto"), one.req.head.get("method"), one.req.head.get("url"), one.req.head.get("peer"));
    }

    @Test
    void anEventThatIsNoRequestIsCapturedAndWrittenBeforeTheCallReturns() throws IOException {
        CaptureLambda.handle(kept.emitter, event("{\"order\":7,\"token\":\"s3cret\"}"), answer, (in, out) -> {
            assertTrue(CaptureContext.current().orElseThrow().id().isPresent());
            // Up to the last byte, and not beyond.
            out.write(in.readNBytes(28));
        });
        Captured.One one = kept.now().captures.get(0);
        assertEquals("{\"order\":7,\"token\":\"s3cret\"}", answer.toString(StandardCharsets.UTF_8));
        assertEquals(Arrays.asList("in", "lambda", "invoke", "lambda://", null), told(one));
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
        assertEquals("{}", one.req.text());
    }

    @Test
    void anEventOfVersion2IsItsRequest() throws IOException {
        Captured.One one = invoked("""
                {"version":"2.0","rawPath":"/a%20b","rawQueryString":"token=x&c=%20","cookies":["k=v","l=w"],
                "headers":{"host":"h.test","traceparent":"TRACE","content-type":"application/json"},
                "requestContext":{"http":{"method":"POST","path":"/a b","protocol":"HTTP/1.1","sourceIp":"1.2.3.4"}},
                "body":"eyJwd2QiOjF9","isBase64Encoded":true}""".replace("TRACE", TRACE),
                """
                {"statusCode":201,"headers":{"X-N":7,"content-type":"text/plain"},"cookies":["s=1","t=2"],"body":"m\\u00e4de\\n"}""");
        assertEquals(List.of("in", "http/1.1", "POST", "https://h.test/a%20b?token=[redacted]&c=%20", "1.2.3.4"), told(one));
        assertEquals(TRACE, one.req.head.get("trace"));
        assertEquals(List.of("[redacted]"), values(one.req, "cookie"));
        assertEquals("{\"pwd\":\"[redacted]\"}", one.req.text());
        assertEquals(201, one.status());
        assertEquals(List.of("7"), values(one.res, "x-n"));
        assertEquals(List.of("[redacted]", "[redacted]"), values(one.res, "set-cookie"));
        assertEquals("m\u00e4de\n", one.res.text());
    }

    @Test
    void anEventOfVersion1IsItsRequest() throws IOException {
        Captured.One one = invoked("""
                {"path":"/items","httpMethod":"GET","headers":{"Host":"h.test","X-One":"last"},
                "multiValueHeaders":{"Host":["h.test"],"x-one":["first","last"]},"queryStringParameters":{"q":"2"},
                "multiValueQueryStringParameters":{"q":["1 ","2"],"a":["x"]},
                "requestContext":{"path":"/prod/items","protocol":"HTTP/2.0","identity":{"sourceIp":"1.2.3.4"}},"body":null}""",
                "{\"statusCode\":200,\"multiValueHeaders\":{\"Set-Cookie\":[\"s=1\"]},\"body\":\"/w==\",\"isBase64Encoded\":true}");
        assertEquals(List.of("in", "h2", "GET", "https://h.test/prod/items?q=1+&q=2&a=x", "1.2.3.4"), told(one));
        assertEquals(List.of("first", "last"), values(one.req, "x-one"));
        assertEquals("", one.req.text());
        assertArrayEquals(new byte[] {(byte) 0xff}, one.res.body.toByteArray());
    }

    @Test
    void aLoadBalancersEventIsItsRequest() throws IOException {
        Captured.One one = invoked("""
                {"requestContext":{"elb":{"targetGroupArn":"arn"}},"httpMethod":"PUT","path":"/a","queryStringParameters":{"q":"%20"},
                "headers":{"host":"h.test","x-forwarded-proto":"http","x-forwarded-for":"6.6.6.6, 1.2.3.4"},"body":"asked"}""",
                "{\"statusCode\":204}");
        assertEquals(List.of("in", "http/1.1", "PUT", "http://h.test/a?q=%20", "1.2.3.4"), told(one));
        assertEquals("asked", one.req.text());
    }

    @Test
    void anAnswerOfVersion2WithoutAStatusIsJson() throws IOException {
        String event = "{\"rawPath\":\"/a\",\"requestContext\":{\"domainName\":\"d.test\",\"http\":{\"method\":\"GET\"}}}";
        Captured.One one = invoked(event, "{\"token\":\"x\"}");
        assertEquals("https://d.test/a", one.req.head.get("url"));
        assertEquals(200, one.status());
        assertEquals("{\"token\":\"[redacted]\"}", one.res.text());
    }

    @Test
    void whatIsOddIsTakenAsItStands() throws IOException {
        String deep = "[".repeat(10_000) + "]".repeat(10_000);
        String nameless = "{\"requestContext\":{\"http\":{}}}";
        String trailed = "{\"httpMethod\":\"GET\",\"requestContext\":{}} x";
        for (String event : List.of("", "{", "7", nameless, trailed, "{\"requestContext\":7,\"httpMethod\":8}", "{\"a\":\"\\u00", deep)) {
            assertEquals("lambda", invoked(event, "{}").req.head.get("proto"), event);
        }
        Captured.One one = invoked("{\"path\":\"/\",\"httpMethod\":\"GET\",\"requestContext\":{}}", "{\"statusCode\":[]}");
        assertEquals("{\"statusCode\":[]}", one.res.text());
        assertNull(one.res.head.get("status"));
    }

    @Test
    void whatFiltersLeaveOutIsAnsweredAllTheSame() throws IOException {
        CaptureLambda.handle(kept.emitter, event("{\"rawPath\":\"/health\",\"requestContext\":{\"http\":{\"method\":\"GET\"}}}"), answer,
                (in, out) -> out.write(in.readNBytes(1)));
        assertEquals("{", answer.toString(StandardCharsets.UTF_8));
        assertEquals(List.of(), kept.now().captures);
    }

    @Test
    void aTypedEventIsCapturedAsTheJsonThatItsRuntimeReads() {
        SQSEvent.SQSMessage message = new SQSEvent.SQSMessage();
        message.setMessageId("m-1");
        message.setEventSourceArn("arn:aws:sqs:eu-west-1:123456789012:orders");
        message.setBody("{}");
        SQSEvent.MessageAttribute secret = new SQSEvent.MessageAttribute();
        secret.setStringValue("s3cret");
        message.setMessageAttributes(Map.of("token", secret));
        SQSEvent event = new SQSEvent();
        event.setRecords(List.of(message));
        SQSBatchResponse answer = new SQSBatchResponse(List.of(new SQSBatchResponse.BatchItemFailure("m-1")));
        assertSame(answer, CaptureLambda.handle(kept.emitter, event, given -> {
            assertSame(event, given);
            assertTrue(CaptureContext.current().orElseThrow().id().isPresent());
            return answer;
        }));
        Captured.One one = kept.now().captures.get(0);
        assertEquals(Arrays.asList("in", "lambda", "invoke", "lambda://", null), told(one));
        // Spelled as events are, not as the class is.
        Map<?, ?> record = (Map<?, ?>) Json.list(Json.object(Json.read(one.req.text())).get("Records")).get(0);
        assertEquals("arn:aws:sqs:eu-west-1:123456789012:orders", record.get("eventSourceARN"));
        assertEquals(Map.of("token", "[redacted]"), record.get("messageAttributes"));
        assertEquals("{\"batchItemFailures\":[{\"itemIdentifier\":\"m-1\"}]}", one.res.text());
        assertEquals("OK", one.res.head.get("status"));
    }

    @Test
    void typedEventsOfHttpAreTheirRequests() {
        APIGatewayProxyRequestEvent version1 = new APIGatewayProxyRequestEvent().withHttpMethod("POST").withPath("/a")
                .withHeaders(Map.of("Host", "h.test", "Content-Type", "application/json")).withBody("{\"password\":1}").withIsBase64Encoded(false)
                .withRequestContext(new APIGatewayProxyRequestEvent.ProxyRequestContext().withPath("/prod/a"));
        CaptureLambda.handle(kept.emitter, version1, event -> new APIGatewayProxyResponseEvent().withStatusCode(201).withBody("/w==")
                .withIsBase64Encoded(true).withMultiValueHeaders(Map.of("x-two", List.of("1", "2"))));
        APIGatewayV2HTTPEvent version2 = APIGatewayV2HTTPEvent.builder().withRawPath("/b").withRawQueryString("token=x").withCookies(List.of("k=v"))
                .withHeaders(Map.of("host", "h.test", "traceparent", TRACE)).withIsBase64Encoded(true).withBody("YXNrZWQ=")
                .withRequestContext(APIGatewayV2HTTPEvent.RequestContext.builder()
                        .withHttp(APIGatewayV2HTTPEvent.RequestContext.Http.builder().withMethod("PUT").withSourceIp("1.2.3.4").build()).build())
                .build();
        CaptureLambda.handle(kept.emitter, version2, event ->
                APIGatewayV2HTTPResponse.builder().withStatusCode(200).withBody("answered").withCookies(List.of("c=d")).build());
        ApplicationLoadBalancerRequestEvent.RequestContext balancer = new ApplicationLoadBalancerRequestEvent.RequestContext();
        balancer.setElb(new ApplicationLoadBalancerRequestEvent.Elb());
        ApplicationLoadBalancerRequestEvent third = new ApplicationLoadBalancerRequestEvent();
        third.setRequestContext(balancer);
        third.setHttpMethod("GET");
        third.setPath("/health");
        assertNull(CaptureLambda.handle(kept.emitter, third, event -> null));

        List<Captured.One> captures = kept.now().captures;
        assertEquals(2, captures.size());
        Captured.One first = captures.get(0);
        assertEquals(List.of("in", "http/1.1", "POST", "https://h.test/prod/a"), told(first).subList(0, 4));
        assertEquals("{\"password\":\"[redacted]\"}", first.req.text());
        assertEquals(List.of(201, List.of("1", "2")), List.of(first.status(), values(first.res, "x-two")));
        assertArrayEquals(new byte[] {(byte) 0xff}, first.res.body.toByteArray());
        Captured.One second = captures.get(1);
        assertEquals(List.of("in", "http/1.1", "PUT", "https://h.test/b?token=[redacted]", "1.2.3.4"), told(second));
        assertEquals(List.of("asked", "answered"), List.of(second.req.text(), second.res.text()));
        assertEquals(List.of(TRACE, List.of("[redacted]")), List.of(second.req.head.get("trace"), values(second.res, "set-cookie")));
    }

    @Test
    void plainTypesAndWhatNoJsonCanTellAreHandedOver() {
        assertEquals("tea", CaptureLambda.handle(kept.emitter, Map.of("token", 7), event -> "tea"));
        assertNull(CaptureLambda.handle(kept.emitter, 7, event -> null));
        Object untellable = new Object() {
            @SuppressWarnings("unused")
            public String getName() {
                throw new IllegalStateException();
            }
        };
        assertSame(untellable, CaptureLambda.handle(kept.emitter, untellable, event -> event));
        assertThrows(IllegalStateException.class, () -> CaptureLambda.handle(kept.emitter, "x", event -> {
            throw new IllegalStateException("no");
        }));
        List<Captured.One> captures = kept.now().captures;
        assertEquals(List.of("{\"token\":\"[redacted]\"}", "\"tea\""), List.of(captures.get(0).req.text(), captures.get(0).res.text()));
        assertEquals(List.of("7", "null"), List.of(captures.get(1).req.text(), captures.get(1).res.text()));
        assertEquals(List.of("body not captured", "body not captured"), List.of(captures.get(2).req.error(), captures.get(2).res.error()));
        assertEquals("OK", captures.get(2).res.head.get("status"));
        assertEquals("handler failed: java.lang.IllegalStateException", captures.get(3).res.error());
    }
}
