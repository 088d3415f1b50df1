package shop;

import io.reassemble.emitter.CaptureFilter;
import io.reassemble.emitter.CaptureHttpClient;
import io.reassemble.emitter.Emitter;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;

/** A small Jetty app whose requests and calls are captured; listens on {@code PORT}. */
public final class App {
    private App() {
    }

    private static final class Shop extends HttpServlet {
        private static final long serialVersionUID = 1L;
        private final transient HttpClient client;

        Shop(HttpClient client) {
            this.client = client;
        }

        @Override
        protected void doPost(HttpServletRequest request, HttpServletResponse response) throws IOException {
            response.setContentType(request.getContentType());
            request.getInputStream().transferTo(response.getOutputStream());
        }

        /** Asks whoever is named: the call shares this request's trace. */
        @Override
        protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
            HttpRequest call = HttpRequest.newBuilder(URI.create(request.getParameter("to")))
                    .POST(HttpRequest.BodyPublishers.ofString("called")).build();
            try {
                response.getOutputStream().write(client.send(call, BodyHandlers.ofByteArray()).body());
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
                response.sendError(502);
            }
        }
    }

    /** Serves until the process is ended. */
    public static void main(String[] arguments) throws Exception {
        Emitter emitter = Emitter.fromEnv();
        HttpClient client = CaptureHttpClient.wrap(HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build(), emitter);
        ServletContextHandler context = new ServletContextHandler();
        context.addServletContainerInitializer((classes, servlets) -> CaptureFilter.register(servlets, emitter));
        context.addServlet(new ServletHolder(new Shop(client)), "/*");
        Server server = new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(System.getenv("PORT"))));
        server.setHandler(context);
        server.setStopAtShutdown(true);
        server.start();
        server.join();
        emitter.close();
    }
}
