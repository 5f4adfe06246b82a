// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

import dev.weir.policy.source.Node.Entry;
import dev.weir.policy.source.Node.Mapping;
import dev.weir.policy.source.Node.Scalar;
import dev.weir.policy.source.Node.Sequence;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Reads what nearly all manifests consist of, many times as fast as the library does: ASCII, block
 * mappings and sequences, scalars of one line, lists and mappings in brackets on one line, and
 * JSON.
 *
 * <p>It knows no errors. Whatever it does not know, wrong or merely rare (anchors, tags, text of
 * several lines, escapes by number, a key that occurs twice), makes it give up the whole file, and
 * the library reads that from its beginning. So there is one judge of what YAML is; where this
 * reader has an answer, it is the library's.
 */
final class PlainReader {

  /** Longest key; the library's bound is 1024 and counts otherwise. */
  private static final int MAX_KEY = 512;

  private static final int MAX_DEPTH = DocumentReader.MAX_DEPTH - 2;

  /** Mappings up to this size are searched for a key, larger ones have a set of them. */
  private static final int SMALL = 12;

  private static final int END = -1;

  /** May be part of a key, and of a value within brackets. */
  private static final int WORD = 1;

  /** May begin a value that is not in quotes. */
  private static final int START = 2;

  private static final byte[] CLASSES = classes();

  private final String name;
  private final byte[] in;
  private final Texts texts;
  private int pos;
  private int line = 1;
  private int lineStart;
  private int nodes;

  /** Of the line at hand: spaces before it, or {@link #END} at the end of a document. */
  private int indent;

  /** What this reader does not know. */
  private static final class Unusual extends RuntimeException {
    // It has no stack trace and no cause, so there is nothing of a throw in it.
    @SuppressWarnings("StaticAssignmentOfThrowable")
    static final Unusual INSTANCE = new Unusual();

    private Unusual() {
      super(null, null, false, false);
    }
  }

  private PlainReader(String name, byte[] in, Texts texts) {
    this.name = name;
    this.in = in;
    this.texts = texts;
  }

  private static byte[] classes() {
    byte[] classes = new byte[128];
    for (int c = 0; c < 128; c++) {
      boolean alphanumeric = c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z';
      if (alphanumeric || c == '_' || c == '.' || c == '/') {
        classes[c] = WORD | START;
      } else if (c == '-') {
        classes[c] = WORD;
      } else if (c == '+' || c == '~' || c == '(' || c == '$' || c == '^' || c == '=') {
        classes[c] = START;
      }
    }
    return classes;
  }

  /** The documents of a file, empty ones left out; empty when the library has to read it. */
  static Optional<List<Node>> read(SourceFile file, Texts texts) {
    byte[] content = file.content();
    int returns = 0;
    for (int i = 0; i < content.length; i++) {
      byte b = content[i];
      if (b < ' ' && b != '\n' || b == 0x7f) {
        if (b != '\r' || i + 1 >= content.length || content[i + 1] != '\n') {
          return Optional.empty();
        }
        returns++;
      }
    }
    try {
      byte[] in = returns == 0 ? content : withoutReturns(content, returns);
      return Optional.of(new PlainReader(file.name(), in, texts).documents());
    } catch (Unusual e) {
      return Optional.empty();
    }
  }

  /** Lines end with a line feed, whatever stands before it. */
  private static byte[] withoutReturns(byte[] content, int returns) {
    byte[] result = new byte[content.length - returns];
    int size = 0;
    for (byte b : content) {
      if (b != '\r') {
        result[size++] = b;
      }
    }
    return result;
  }

  private static Unusual unusual() {
    return Unusual.INSTANCE;
  }

  private int at(int index) {
    return index < in.length ? in[index] : '\n';
  }

  /** Whether a space, the end of the line or of the file is there. */
  private boolean gap(int index) {
    int c = at(index);
    return c == ' ' || c == '\n';
  }

  private boolean is(int index, int kind) {
    return index < in.length && (CLASSES[in[index]] & kind) != 0;
  }

  private Position here() {
    return new Position(name, line, pos - lineStart + 1);
  }

  private List<Node> documents() {
    List<Node> documents = new ArrayList<>();
    nextLine();
    while (true) {
      if (indent != END) {
        Node root = at(pos) == '{' || at(pos) == '[' ? bracketed() : block(0);
        if (indent != END) {
          throw unusual();
        }
        documents.add(root);
      }
      if (pos >= in.length) {
        return documents;
      }
      // "---"
      pos += 3;
      endOfLine();
    }
  }

  /** Goes on to the next line that says something. To be called at the beginning of a line. */
  private void nextLine() {
    while (true) {
      int p = lineStart;
      while (p < in.length && in[p] == ' ') {
        p++;
      }
      pos = p;
      if (p >= in.length) {
        indent = END;
        return;
      }
      int c = in[p];
      if (c == '\n') {
        newLine();
      } else if (c == '#') {
        comment();
      } else {
        indent = p - lineStart;
        if (indent == 0) {
          if (c == '-' && at(p + 1) == '-' && at(p + 2) == '-' && gap(p + 3)) {
            indent = END;
          } else if (c == '%' || c == '.' && at(p + 1) == '.' && at(p + 2) == '.') {
            throw unusual();
          }
        }
        return;
      }
    }
  }

  private void newLine() {
    pos++;
    line++;
    lineStart = pos;
  }

  private void comment() {
    while (pos < in.length && in[pos] != '\n') {
      pos++;
    }
    if (pos < in.length) {
      newLine();
    } else {
      lineStart = pos;
    }
  }

  /** Nothing but a comment may follow in this line; goes on to the next that says something. */
  private void endOfLine() {
    int before = pos;
    while (pos < in.length && in[pos] == ' ') {
      pos++;
    }
    if (pos >= in.length) {
      lineStart = pos;
      indent = END;
      return;
    }
    if (in[pos] == '#' && pos > before) {
      comment();
    } else if (in[pos] == '\n') {
      newLine();
    } else {
      throw unusual();
    }
    nextLine();
  }

  private void count(int depth) {
    if (depth > MAX_DEPTH || ++nodes > DocumentReader.MAX_NODES) {
      throw unusual();
    }
  }

  private boolean dash() {
    return at(pos) == '-' && gap(pos + 1);
  }

  /** What begins in the line at hand. */
  private Node block(int depth) {
    return dash() ? sequence(indent, depth) : mapping(indent, depth);
  }

  private Sequence sequence(int column, int depth) {
    count(depth);
    final Position start = here();
    List<Node> items = new ArrayList<>(4);
    do {
      pos++;
      while (at(pos) == ' ') {
        pos++;
      }
      items.add(item(depth + 1));
      if (indent > column) {
        throw unusual();
      }
    } while (indent == column && dash());
    return new Sequence(start, items);
  }

  private Node item(int depth) {
    int c = at(pos);
    if (c == '\n' || c == '#') {
      throw unusual();
    }
    if (dash()) {
      return sequence(pos - lineStart, depth);
    }
    if (c != '"' && c != '\'' && c != '{' && c != '[' && keyEnd(pos) >= 0) {
      return mapping(pos - lineStart, depth);
    }
    Node value = inline(depth);
    endOfLine();
    return value;
  }

  /** Where the key that begins here ends, or -1 when none does. */
  private int keyEnd(int from) {
    if (!is(from, START)) {
      return -1;
    }
    int p = from;
    while (p < in.length) {
      int c = in[p];
      if (c == ':') {
        if (gap(p + 1)) {
          return p - from <= MAX_KEY ? p : -1;
        }
      } else if ((CLASSES[c] & WORD) == 0) {
        return -1;
      }
      p++;
    }
    return -1;
  }

  private Mapping mapping(int column, int depth) {
    count(depth);
    final Position start = here();
    Entries entries = new Entries();
    do {
      count(depth + 1);
      Position keyAt = here();
      Scalar key;
      if (at(pos) == '"' || at(pos) == '\'') {
        key = quoted();
        if (at(pos) != ':' || !gap(pos + 1)) {
          throw unusual();
        }
      } else {
        int end = keyEnd(pos);
        if (end < 0) {
          throw unusual();
        }
        key = plain(keyAt, pos, end);
        pos = end;
      }
      pos++;
      entries.add(key, value(column, depth + 1));
      if (indent > column) {
        throw unusual();
      }
    } while (indent == column && !dash());
    return new Mapping(start, entries.list);
  }

  /** The value behind a key's colon. */
  private Node value(int column, int depth) {
    final Position colon = here();
    int before = pos;
    while (at(pos) == ' ') {
      pos++;
    }
    int c = at(pos);
    if (c != '\n' && (c != '#' || pos == before)) {
      Node value = inline(depth);
      endOfLine();
      if (indent == column && dash()) {
        throw unusual();
      }
      return value;
    }
    pos = before;
    endOfLine();
    if (indent > column) {
      return at(pos) == '{' || at(pos) == '[' ? refuse() : block(depth);
    }
    if (indent == column && dash()) {
      return sequence(column, depth);
    }
    count(depth);
    return new Scalar(colon, "", Scalar.Type.NULL);
  }

  private static Node refuse() {
    throw unusual();
  }

  /** A value of one line. */
  private Node inline(int depth) {
    int c = at(pos);
    if (c == '"' || c == '\'') {
      count(depth);
      return quoted();
    }
    if (c == '[' || c == '{') {
      return flow(depth, false);
    }
    if (!is(pos, START) && !(c == '-' && is(pos + 1, START))) {
      throw unusual();
    }
    count(depth);
    final Position start = here();
    int from = pos;
    int end = pos;
    while (pos < in.length) {
      c = in[pos];
      if (c == '\n' || c == '#' && in[pos - 1] == ' ') {
        break;
      }
      if (c == ':' && gap(pos + 1)) {
        throw unusual();
      }
      pos++;
      if (c != ' ') {
        end = pos;
      }
    }
    Scalar value = plain(start, from, end);
    pos = end;
    return value;
  }

  private Scalar plain(Position start, int from, int to) {
    String text = texts.of(in, from, to);
    return new Scalar(start, text, DocumentReader.type(text));
  }

  private Scalar quoted() {
    final Position start = here();
    int quote = in[pos++];
    int from = pos;
    while (true) {
      int c = at(pos);
      if (c == '\n') {
        throw unusual();
      }
      if (c == quote) {
        break;
      }
      if (c == '\\' && quote == '"') {
        return escaped(start, from);
      }
      pos++;
    }
    String text = texts.of(in, from, pos);
    pos++;
    if (quote == '\'' && at(pos) == '\'') {
      throw unusual();
    }
    return new Scalar(start, text, Scalar.Type.STRING);
  }

  /** A string in double quotes that has escapes. */
  private Scalar escaped(Position start, int from) {
    StringBuilder text = new StringBuilder();
    pos = from;
    while (true) {
      int c = at(pos++);
      switch (c) {
        case '\n' -> throw unusual();
        case '"' -> {
          return new Scalar(start, text.toString(), Scalar.Type.STRING);
        }
        case '\\' ->
            text.append(
                switch (at(pos++)) {
                  case '"' -> '"';
                  case '\\' -> '\\';
                  case '/' -> '/';
                  case 'n' -> '\n';
                  case 'r' -> '\r';
                  case 't' -> '\t';
                  default -> throw unusual();
                });
        default -> text.append((char) c);
      }
    }
  }

  /** A document in brackets. */
  private Node bracketed() {
    Node root = flow(0, true);
    endOfLine();
    return root;
  }

  private void flowSpace(boolean lines) {
    while (true) {
      int c = at(pos);
      if (c == ' ') {
        pos++;
      } else if (c == '\n' && lines && pos < in.length) {
        newLine();
        c = at(pos);
        if (c == '-' || c == '.') {
          throw unusual();
        }
      } else {
        return;
      }
    }
  }

  private Node flow(int depth, boolean lines) {
    return switch (at(pos)) {
      case '{' -> flowMapping(depth, lines);
      case '[' -> flowSequence(depth, lines);
      case '"', '\'' -> {
        count(depth);
        yield quoted();
      }
      default -> {
        count(depth);
        yield word();
      }
    };
  }

  private Scalar word() {
    if (!is(pos, START | WORD) || at(pos) == '-' && !is(pos + 1, START)) {
      throw unusual();
    }
    final Position start = here();
    int from = pos;
    while (is(pos, WORD) || at(pos) == '+') {
      pos++;
    }
    if (pos == from) {
      throw unusual();
    }
    return plain(start, from, pos);
  }

  private Sequence flowSequence(int depth, boolean lines) {
    count(depth);
    final Position start = here();
    List<Node> items = new ArrayList<>(4);
    pos++;
    flowSpace(lines);
    if (at(pos) != ']') {
      while (true) {
        items.add(flow(depth + 1, lines));
        flowSpace(lines);
        if (at(pos) == ']') {
          break;
        }
        comma(lines);
      }
    }
    pos++;
    return new Sequence(start, items);
  }

  private void comma(boolean lines) {
    if (at(pos) != ',') {
      throw unusual();
    }
    pos++;
    flowSpace(lines);
  }

  private Mapping flowMapping(int depth, boolean lines) {
    count(depth);
    final Position start = here();
    Entries entries = new Entries();
    pos++;
    flowSpace(lines);
    if (at(pos) != '}') {
      while (true) {
        count(depth + 1);
        int from = pos;
        boolean inQuotes = at(pos) == '"';
        Scalar key = inQuotes ? quoted() : word();
        if (at(pos) != ':' || pos - from > MAX_KEY || !inQuotes && !gap(pos + 1)) {
          throw unusual();
        }
        pos++;
        flowSpace(lines);
        entries.add(key, flow(depth + 1, lines));
        flowSpace(lines);
        if (at(pos) == '}') {
          break;
        }
        comma(lines);
      }
    }
    pos++;
    return new Mapping(start, entries.list);
  }

  /** Entries of a mapping, no two of one key. */
  private static final class Entries {
    final List<Entry> list = new ArrayList<>(4);
    private Set<String> keys = Set.of();

    void add(Scalar key, Node value) {
      String text = key.text();
      if (list.size() < SMALL) {
        for (int i = 0; i < list.size(); i++) {
          if (list.get(i).key().text().equals(text)) {
            throw unusual();
          }
        }
      } else {
        if (list.size() == SMALL) {
          keys = new HashSet<>();
          list.forEach(e -> keys.add(e.key().text()));
        }
        if (!keys.add(text)) {
          throw unusual();
        }
      }
      list.add(new Entry(key, value));
    }
  }
}
