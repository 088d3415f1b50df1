package io.reassemble.emitter;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** The secret that lines are signed with (L-8). For one thread. */
final class SigningKey {
    static final int MIN_BYTES = 32;
    static final int MAX_BYTES = 1024;

    private final SecretKeySpec secret;
    private final Mac mac;

    private SigningKey(SecretKeySpec secret) {
        this.secret = secret;
        try {
            mac = Mac.getInstance(secret.getAlgorithm());
            mac.init(secret);
        } catch (GeneralSecurityException fault) {
            throw new CaptureConfigException("this Java has no " + secret.getAlgorithm() + " to sign with", fault);
        }
    }

    /**
     * @param secret 32 to 1,024 printable ASCII characters without white space; what surrounds it, such as a file's last newline, is not part of it
     * @param from what named it, for the error
     * @throws CaptureConfigException where it is no such secret, which the message does not tell
     */
    static SigningKey of(String secret, String from) {
        String text = secret.strip();
        boolean printable = text.chars().allMatch(c -> c > 0x20 && c < 0x7F);
        if (!printable || text.length() < MIN_BYTES || text.length() > MAX_BYTES) {
            throw new CaptureConfigException(
                    from + " holds no secret to sign with: it must be 32 to 1024 printable ASCII characters without white space");
        }
        return new SigningKey(new SecretKeySpec(text.getBytes(StandardCharsets.US_ASCII), "HmacSHA256"));
    }

    /** The same secret for another thread. */
    SigningKey copy() {
        return new SigningKey(secret);
    }

    /** The signature, of which lines hold the first 16 bytes. {@code of} is 0 where the line has none. */
    byte[] sign(String id, String part, int seq, int of, byte[] headf, byte[] piece, byte[] tailf) {
        String prelude = id + ' ' + part + ' ' + seq + ' ' + (of == 0 ? "-" : Integer.toString(of)) + " - " + headf.length + ' '
                + piece.length + ' ' + tailf.length + '\n';
        mac.update(prelude.getBytes(StandardCharsets.US_ASCII));
        mac.update(headf);
        mac.update(piece);
        return mac.doFinal(tailf);
    }
}
