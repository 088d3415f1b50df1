package io.reassemble.emitter;

/** Why an emitter can't be made: a setting that it can't have, named with its value and what it can be, or an output that can't be opened. */
public final class CaptureConfigException extends IllegalArgumentException {
    private static final long serialVersionUID = 1;

    CaptureConfigException(String message) {
        super(message);
    }

    CaptureConfigException(String message, Throwable cause) {
        super(message, cause);
    }
}
