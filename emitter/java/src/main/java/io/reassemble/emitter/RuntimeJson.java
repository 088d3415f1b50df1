package io.reassemble.emitter;

import com.amazonaws.services.lambda.runtime.CustomPojoSerializer;
import com.amazonaws.services.lambda.runtime.serialization.PojoSerializer;
import com.amazonaws.services.lambda.runtime.serialization.events.LambdaEventSerializers;
import com.amazonaws.services.lambda.runtime.serialization.factories.JacksonFactory;
import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ServiceLoader;

/**
 * Events and answers of typed handlers as the JSON that Lambda's runtime reads and writes: by the serializer that the app has registered, else by that of
 * {@code aws-lambda-java-serialization}, which Lambda has on every function's class path.
 */
final class RuntimeJson {
    private static final byte[] NULL = "null".getBytes(StandardCharsets.US_ASCII);

    /** Writes a value of one class. */
    private interface Writer {
        void write(Object value, OutputStream out);
    }

    private static final ClassValue<Writer> WRITERS = new ClassValue<>() {
        @Override
        protected Writer computeValue(Class<?> type) {
            return writer(type);
        }
    };

    private RuntimeJson() {}

    /** The JSON of a value; null where nothing here can write it. */
    static byte[] of(Object value) {
        if (value == null) {
            return NULL;
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try {
            WRITERS.get(value.getClass()).write(value, out);
        } catch (RuntimeException | LinkageError own) {
            return null;
        }
        return out.toByteArray();
    }

    private static Writer writer(Class<?> type) {
        for (CustomPojoSerializer registered : ServiceLoader.load(CustomPojoSerializer.class)) {
            return (value, out) -> registered.toJson(value, out, type);
        }
        PojoSerializer<Object> serializer = serializer(type);
        return serializer::toJson;
    }

    @SuppressWarnings("unchecked")
    private static PojoSerializer<Object> serializer(Class<?> type) {
        return (PojoSerializer<Object>) (LambdaEventSerializers.isLambdaSupportedEvent(type.getName())
                ? LambdaEventSerializers.serializerFor(type, type.getClassLoader())
                : JacksonFactory.getInstance().getSerializer(type));
    }
}
