package io.reassemble.emitter;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.UnaryOperator;

/**
 * What an event says of a request: the HTTP request where API Gateway (both versions), a load balancer or a function URL made it of one, else the
 * invocation with the event as its body.
 *
 * @param isVersion2 whether an answer without a status is a body by itself
 * @param peer null where it is not told
 * @param body null where it is not known
 */
record LambdaEvent(
        boolean isHttp, boolean isVersion2, String proto, String method, String path, String url, String peer, List<Header> headers, byte[] body) {
    static final List<Header> JSON = List.of(new Header("content-type", "application/json"));

    /** What an answer says of a response; a status of null is not known. */
    record Answer(Object status, List<Header> headers, byte[] body) {}

    /** Reads an event; one that is odd is captured as it stands, and of null it is known that it came. */
    static LambdaEvent read(byte[] payload, String functionUrl) {
        try {
            Map<?, ?> event = object(payload);
            if (event.get("requestContext") instanceof Map<?, ?> about) {
                if (about.get("http") instanceof Map<?, ?> http && http.get("method") instanceof String) {
                    return version2(event, about, http);
                }
                if (event.get("httpMethod") instanceof String method) {
                    return version1(event, about, method);
                }
            }
        } catch (RuntimeException odd) {
            // It is told as what it is: some JSON that the function was invoked with.
        }
        return new LambdaEvent(false, false, "lambda", "invoke", "", functionUrl, null, JSON, payload);
    }

    private static Map<?, ?> object(byte[] payload) {
        return payload == null ? Map.of() : EventJson.object(new String(payload, StandardCharsets.UTF_8));
    }

    private static LambdaEvent version2(Map<?, ?> event, Map<?, ?> about, Map<?, ?> http) {
        List<Header> headers = headers(event);
        if (event.get("cookies") instanceof List<?> cookies && !cookies.isEmpty()) {
            headers.add(new Header("cookie", String.join("; ", texts(cookies))));
        }
        String path = text(event, "rawPath", "");
        return new LambdaEvent(
                true, true, protocol(http), text(http, "method", ""), path, url(headers, about, path, text(event, "rawQueryString", "")),
                text(http, "sourceIp", null), headers, body(event));
    }

    private static LambdaEvent version1(Map<?, ?> event, Map<?, ?> about, String method) {
        List<Header> headers = headers(event);
        // With the stage, as the client asked for it.
        String path = text(about, "path", text(event, "path", ""));
        // A load balancer hands parameters over as they came, a gateway decoded.
        UnaryOperator<String> spell = about.containsKey("elb") ? same -> same : decoded -> URLEncoder.encode(decoded, StandardCharsets.UTF_8);
        String peer = about.get("identity") instanceof Map<?, ?> identity ? text(identity, "sourceIp", null) : forwardedFor(headers);
        return new LambdaEvent(
                true, false, protocol(about), method, path, url(headers, about, path, query(event, spell)), peer, headers, body(event));
    }

    /** The address that the load balancer saw; what stands before it any client may have written. */
    private static String forwardedFor(List<Header> headers) {
        String all = Header.first(headers, "x-forwarded-for");
        String last = all.substring(all.lastIndexOf(',') + 1).strip();
        return last.isEmpty() ? null : last;
    }

    private static String query(Map<?, ?> event, UnaryOperator<String> spell) {
        Object all = event.get("multiValueQueryStringParameters");
        all = all == null ? event.get("queryStringParameters") : all;
        List<String> parameters = new ArrayList<>();
        if (all instanceof Map<?, ?> named) {
            named.forEach((name, given) -> {
                for (String value : texts(given)) {
                    parameters.add(spell.apply((String) name) + '=' + spell.apply(value));
                }
            });
        }
        return String.join("&", parameters);
    }

    private static String url(List<Header> headers, Map<?, ?> about, String path, String query) {
        String target = query.isEmpty() ? path : path + '?' + query;
        String host = Header.first(headers, "host");
        host = host.isEmpty() ? text(about, "domainName", "") : host;
        String scheme = Header.first(headers, "x-forwarded-proto").equals("http") ? "http" : "https";
        return host.isEmpty() ? target : scheme + "://" + host + target;
    }

    private static String protocol(Map<?, ?> about) {
        String protocol = text(about, "protocol", "HTTP/1.1");
        return protocol.startsWith("HTTP/2") ? "h2" : protocol.equals("HTTP/1.0") ? "http/1.0" : "http/1.1";
    }

    /** Headers of an event or an answer: where a name has several values, these stand for the one. */
    private static List<Header> headers(Map<?, ?> message) {
        List<Header> headers = new ArrayList<>();
        Set<String> taken = new TreeSet<>(String.CASE_INSENSITIVE_ORDER);
        for (String kind : List.of("multiValueHeaders", "headers")) {
            if (message.get(kind) instanceof Map<?, ?> named) {
                named.forEach((name, given) -> {
                    if (kind.equals("headers") && taken.contains(name)) {
                        return;
                    }
                    taken.add((String) name);
                    texts(given).forEach(value -> headers.add(new Header((String) name, value)));
                });
            }
        }
        return headers;
    }

    private static byte[] body(Map<?, ?> message) {
        String body = text(message, "body", "");
        return "true".equals(message.get("isBase64Encoded")) ? Base64.getDecoder().decode(body) : body.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(Map<?, ?> object, String name, String otherwise) {
        return object.get(name) instanceof String text ? text : otherwise;
    }

    private static List<String> texts(Object given) {
        List<String> texts = new ArrayList<>();
        for (Object value : given instanceof List<?> list ? list : given == null ? List.of() : List.of(given)) {
            texts.add(String.valueOf(value));
        }
        return texts;
    }

    /** Reads what the handler answered; of null it is known that it came. */
    Answer answer(byte[] payload) {
        if (!isHttp) {
            return new Answer("OK", JSON, payload);
        }
        try {
            Map<?, ?> answer = object(payload);
            if (answer.containsKey("statusCode")) {
                List<Header> headers = headers(answer);
                texts(answer.get("cookies")).forEach(cookie -> headers.add(new Header("set-cookie", cookie)));
                return new Answer(Integer.valueOf(text(answer, "statusCode", "")), headers, body(answer));
            }
        } catch (RuntimeException odd) {
            // What is no answer in the gateway's form is told as it stands.
        }
        return new Answer(isVersion2 ? 200 : null, JSON, payload);
    }
}
