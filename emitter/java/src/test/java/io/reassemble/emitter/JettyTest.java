package io.reassemble.emitter;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.net.http.HttpClient;
import java.net.http.HttpResponse.BodyHandlers;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.http2.server.HTTP2CServerConnectionFactory;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.junit.jupiter.api.Test;

/** The filter in Jetty, embedded. */
class JettyTest extends ContainerTest {
    private Server server;

    @Override
    int start(Emitter emitter, Handlers handlers) throws Exception {
        server = new Server();
        HttpConfiguration configuration = new HttpConfiguration();
        ServerConnector connector = new ServerConnector(
                server, new HttpConnectionFactory(configuration), new HTTP2CServerConnectionFactory(configuration));
        connector.setHost("127.0.0.1");
        server.addConnector(connector);
        ServletContextHandler app = new ServletContextHandler("/");
        app.addServletContainerInitializer((classes, context) -> CaptureFilter.register(context, emitter));
        ServletHolder holder = new ServletHolder(handlers);
        holder.setAsyncSupported(true);
        app.addServlet(holder, "/s/*");
        server.setHandler(app);
        server.start();
        return connector.getLocalPort();
    }

    @Override
    void stop() throws Exception {
        server.stop();
    }

    @Test
    void http2IsToldAsSuch() throws Exception {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_2).build();
        client.send(request("/s/text?first").build(), BodyHandlers.ofString());
        assertEquals("té😀xt\n", client.send(request("/s/text?second").build(), BodyHandlers.ofString()).body());
        assertEquals("h2", kept.read(2).byUrl("second").req.head.get("proto"));
    }
}
