package io.reassemble.emitter;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** What is let in: what {@code only} lists, or all where that is empty, save what {@code skip} lists (C-2.1). */
final class Filter {
    private final boolean ignoreCase;
    private final boolean open;
    private final List<String> only = new ArrayList<>();
    private final List<String> skip = new ArrayList<>();

    private Filter(boolean ignoreCase, boolean open) {
        this.ignoreCase = ignoreCase;
        this.open = open;
    }

    /** Of whole words, compared without case. */
    static Filter ofMethods() {
        return new Filter(true, false);
    }

    /** Of paths; a {@code *} at the end of one lets all pass that begin so. */
    static Filter ofPaths() {
        return new Filter(false, true);
    }

    /** Of content types, as paths, compared without case. */
    static Filter ofTypes() {
        return new Filter(true, true);
    }

    void only(String item) {
        only.add(spelled(item));
    }

    void skip(String item) {
        skip.add(spelled(item));
    }

    boolean letsAll() {
        return only.isEmpty() && skip.isEmpty();
    }

    boolean lets(String text) {
        if (letsAll()) {
            return true;
        }
        String spelled = spelled(text);
        return (only.isEmpty() || fits(only, spelled)) && !fits(skip, spelled);
    }

    private String spelled(String text) {
        return ignoreCase ? text.toLowerCase(Locale.ROOT) : text;
    }

    private boolean fits(List<String> items, String text) {
        for (String item : items) {
            boolean any = open && item.endsWith("*");
            if (any ? text.startsWith(item.substring(0, item.length() - 1)) : text.equals(item)) {
                return true;
            }
        }
        return false;
    }
}
