package shop;

import io.reassemble.emitter.CaptureFilter;
import io.reassemble.emitter.CaptureHttpClient;
import io.reassemble.emitter.Emitter;
import java.net.http.HttpClient;
import java.util.Map;
import org.springframework.boot.Banner;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.web.servlet.ServletContextInitializer;
import org.springframework.context.annotation.Bean;
import org.springframework.core.Ordered;
import org.springframework.core.annotation.Order;

/** A small Spring Boot app whose requests and calls are captured; listens on {@code PORT}. */
@SpringBootApplication
public class App {
    /** Serves until the process is ended. */
    public static void main(String[] arguments) {
        SpringApplication app = new SpringApplication(App.class);
        app.setBannerMode(Banner.Mode.OFF);
        app.setDefaultProperties(Map.of("server.port", System.getenv("PORT"), "server.address", "127.0.0.1", "server.shutdown", "graceful"));
        app.run(arguments);
    }

    @Bean(destroyMethod = "close")
    Emitter emitter() {
        return Emitter.fromEnv();
    }

    @Bean
    @Order(Ordered.HIGHEST_PRECEDENCE)
    ServletContextInitializer capture(Emitter emitter) {
        return context -> CaptureFilter.register(context, emitter);
    }

    @Bean
    HttpClient client(Emitter emitter) {
        return CaptureHttpClient.wrap(HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build(), emitter);
    }
}
