package io.reassemble.emitter;

import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;

/**
 * Looks for any of several texts at once, whatever the case of their ASCII letters: the automaton of Aho and Corasick, which takes one step for each
 * byte and never goes back.
 */
final class NameSearch {
    private static final int WIDTH = 256;
    private static final int FOUND = -1;

    /** For each state, at a multiple of {@link #WIDTH}, the state after each byte. */
    private final int[] next;

    /**
     * @param texts in lowercase, none of them empty
     */
    NameSearch(List<String> texts) {
        List<int[]> rows = new ArrayList<>(List.of(new int[WIDTH]));
        List<Integer> ends = new ArrayList<>();
        for (String text : texts) {
            int state = 0;
            for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
                int[] row = rows.get(state);
                if (row[b & 0xFF] == 0) {
                    row[b & 0xFF] = rows.size();
                    rows.add(new int[WIDTH]);
                }
                state = row[b & 0xFF];
            }
            ends.add(state);
        }
        next = new int[rows.size() * WIDTH];
        boolean[] found = new boolean[rows.size()];
        ends.forEach(state -> found[state] = true);
        link(rows, found);
        for (int state = 0; state < rows.size(); state++) {
            int[] row = rows.get(state);
            System.arraycopy(row, 'a', row, 'A', 26);
            for (int b = 0; b < WIDTH; b++) {
                next[state * WIDTH + b] = found[row[b]] ? FOUND : row[b] * WIDTH;
            }
        }
    }

    /** Where a text goes on no further, the search goes on with the longest start of a text that ends here. */
    private static void link(List<int[]> rows, boolean[] found) {
        int[] shorter = new int[rows.size()];
        Queue<Integer> open = new ArrayDeque<>(List.of(0));
        while (!open.isEmpty()) {
            int state = open.remove();
            int[] row = rows.get(state);
            int[] otherwise = state == 0 ? new int[WIDTH] : rows.get(shorter[state]);
            found[state] |= found[shorter[state]];
            for (int b = 0; b < WIDTH; b++) {
                if (row[b] == 0) {
                    row[b] = otherwise[b];
                } else {
                    shorter[row[b]] = otherwise[b];
                    open.add(row[b]);
                }
            }
        }
    }

    /** Whether any of the texts stands there. */
    boolean findsIn(byte[] bytes, int length) {
        int[] next = this.next;
        int state = 0;
        for (int at = 0; at < length; at++) {
            state = next[state + (bytes[at] & 0xFF)];
            if (state < 0) {
                return true;
            }
        }
        return false;
    }

    /** Whether any of the texts may stand there: what is not ASCII counts as found. */
    boolean findsIn(String text, int from, int end) {
        int state = 0;
        for (int at = from; at < end; at++) {
            char c = text.charAt(at);
            state = c < 0x80 ? next[state + c] : FOUND;
            if (state < 0) {
                return true;
            }
        }
        return false;
    }
}
