package shop;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import org.springframework.http.HttpHeaders;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestHeader;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

/** What the app serves. */
@RestController
class Shop {
    private final HttpClient client;

    Shop(HttpClient client) {
        this.client = client;
    }

    @PostMapping("/echo")
    ResponseEntity<byte[]> echo(@RequestBody(required = false) byte[] body, @RequestHeader(name = HttpHeaders.CONTENT_TYPE, defaultValue = "text/plain") String type) {
        return ResponseEntity.ok().header(HttpHeaders.CONTENT_TYPE, type).body(body == null ? new byte[0] : body);
    }

    /** Asks whoever is named: the call shares this request's trace. */
    @GetMapping("/call")
    byte[] call(@RequestParam String to) throws IOException, InterruptedException {
        HttpRequest call = HttpRequest.newBuilder(URI.create(to)).POST(HttpRequest.BodyPublishers.ofString("called")).build();
        return client.send(call, BodyHandlers.ofByteArray()).body();
    }
}
