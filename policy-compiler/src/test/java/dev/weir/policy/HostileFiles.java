// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.SourceFile;
import dev.weir.policy.source.SourceTree;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntFunction;
import java.util.function.Supplier;

/**
 * Files that somebody wrote to bring the compiler down. Run by {@link HostileFilesTest}, within it
 * and in a child with a small heap.
 */
final class HostileFiles {

  private static final int LARGE = 1 << 20;

  private HostileFiles() {}

  /** Runs all of them, as large as they may be; exit status 1 and a line for each that is bad. */
  public static void main(String[] args) {
    PrintStream out = System.out;
    boolean bad = false;
    for (Map.Entry<String, Supplier<byte[]>> file : all(Integer.parseInt(args[0])).entrySet()) {
      long start = System.nanoTime();
      Optional<String> problem = problem(file.getValue().get());
      long millis = (System.nanoTime() - start) / 1_000_000;
      problem.ifPresent(p -> out.println(file.getKey() + ": " + p));
      out.println(file.getKey() + " took " + millis + " ms");
      bad |= problem.isPresent();
    }
    System.exit(bad ? 1 : 0);
  }

  /** What is wrong with what the compiler does with a file; empty when nothing is. */
  @SuppressWarnings("IllegalCatch") // nothing at all may come out of the compiler but its answer
  static Optional<String> problem(byte[] content) {
    try {
      SourceTree tree = new SourceTree(List.of(new SourceFile("f.yaml", content)), List.of());
      Compilation compilation = PolicyCompiler.compile(tree);
      if (compilation instanceof Compilation.Refused refused) {
        if (refused.errors().isEmpty()) {
          return Optional.of("refused without an error");
        }
        for (Diagnostic error : refused.errors()) {
          if (!placed(error)) {
            return Optional.of("an error without a place: " + error);
          }
        }
      }
      return Optional.empty();
    } catch (Throwable e) {
      return Optional.of(e + (e.getStackTrace().length == 0 ? "" : " at " + e.getStackTrace()[0]));
    }
  }

  /** The plan as a whole can be too large, which no line is to blame for; else a line is. */
  private static boolean placed(Diagnostic error) {
    boolean whole = error.message().contains("room for");
    return whole
        || error.at().file().equals("f.yaml") && error.at().line() > 0 && error.at().column() > 0;
  }

  private static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static String lines(int count, IntFunction<String> line) {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < count; i++) {
      text.append(line.apply(i)).append('\n');
    }
    return text.toString();
  }

  private static final String POLICY =
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n";
  private static final String AUTHORIZATION =
      "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec:\n";
  private static final String ROUTE =
      """
      apiVersion: v1
      kind: Service
      metadata: {name: s}
      spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata: {name: r}
      spec:
        parentRefs: [{group: "", kind: Service, name: s}]
        rules:
      """;

  /**
   * By name.
   *
   * @param size about how many bytes each large one has
   */
  static Map<String, Supplier<byte[]>> all(int size) {
    Map<String, Supplier<byte[]>> files = new LinkedHashMap<>();
    text(files, size);
    structure(files, size);
    values(files, size);
    policies(files, size);
    return files;
  }

  static Map<String, Supplier<byte[]>> small() {
    return all(LARGE / 16);
  }

  private static void text(Map<String, Supplier<byte[]>> files, int size) {
    files.put("nothing", () -> new byte[0]);
    files.put("zeros", () -> new byte[size]);
    files.put("invalid UTF-8", () -> new byte[] {'a', ':', ' ', (byte) 0xc3, (byte) 0x28});
    files.put("overlong UTF-8", () -> new byte[] {'a', ':', ' ', (byte) 0xc0, (byte) 0xaf});
    files.put(
        "a surrogate", () -> new byte[] {'a', ':', ' ', (byte) 0xed, (byte) 0xa0, (byte) 0x80});
    files.put("a byte order mark", () -> utf8("\uFEFF" + POLICY + "  podSelector: {}\n"));
    files.put("two byte order marks", () -> utf8("\uFEFF\uFEFF" + POLICY));
    files.put(
        "a byte order mark within", () -> utf8(POLICY + "  podSelector: {}\n---\n\uFEFFa: b\n"));
    files.put("UTF-16", () -> (POLICY + "  podSelector: {}\n").getBytes(StandardCharsets.UTF_16));
    files.put("CRLF", () -> utf8((POLICY + "  podSelector: {}\n").replace("\n", "\r\n")));
    files.put("CR", () -> utf8((POLICY + "  podSelector: {}\n").replace("\n", "\r")));
    files.put("tabs", () -> utf8((POLICY + "  podSelector: {}\n").replace("  ", "\t")));
    files.put("a tab after a colon", () -> utf8("a:\t\tb\n\t\n"));
    files.put("line separators", () -> utf8("a: b\u2028c: d\u2029e: f\u0085g: h\n"));
    files.put("NUL", () -> utf8("a: \0\n"));
    files.put("a directive", () -> utf8("%YAML 9.9\n---\na: b\n"));
    files.put("a directive twice", () -> utf8("%YAML 1.2\n%YAML 1.2\n---\na: b\n"));
    files.put(
        "unknown directives", () -> utf8(lines(size / 16, i -> "%FOO bar baz") + "---\na: b\n"));
    files.put("tag directives", () -> utf8(lines(size / 32, i -> "%TAG !a" + i + "! tag:x,2000:")));
    files.put("comments", () -> utf8(lines(size / 16, i -> "# nothing at all")));
    files.put("blank lines", () -> utf8("\n".repeat(size)));
    files.put("spaces", () -> utf8(" ".repeat(size)));
  }

  private static void structure(Map<String, Supplier<byte[]>> files, int size) {
    files.put("brackets", () -> utf8("[".repeat(size)));
    files.put("braces", () -> utf8("{".repeat(size)));
    files.put("keys in braces", () -> utf8("{a: ".repeat(size / 4)));
    files.put("dashes", () -> utf8("- ".repeat(size / 2)));
    files.put("question marks", () -> utf8("? ".repeat(size / 2)));
    files.put("closing brackets", () -> utf8("]".repeat(size)));
    files.put("indentation", () -> utf8(lines(1000, i -> " ".repeat(i) + "a:")));
    files.put(
        "depth in values", () -> utf8(POLICY + "  podSelector: " + "{matchLabels: ".repeat(5000)));
    files.put("documents", () -> utf8("---\na: b\n".repeat(size / 9)));
    files.put("empty documents", () -> utf8("---\n".repeat(size / 4)));
    files.put("document ends", () -> utf8("...\n".repeat(size / 4)));
    files.put("objects without a kind", () -> utf8("---\nmetadata: {name: a}\n".repeat(size / 24)));
    files.put(
        "the same object",
        () -> utf8(("---\n" + POLICY + "  podSelector: {}\n").repeat(size / 100)));
    files.put(
        "a list of lists", () -> utf8("kind: List\napiVersion: v1\nitems: [" + list(60) + "]\n"));
    files.put("keys twice", () -> utf8("a: 1\n".repeat(size / 5)));
    files.put("many keys", () -> utf8(lines(size / 12, i -> "k" + i + ": 1")));
    files.put("many values", () -> utf8("[" + "1,".repeat(size / 2) + "]"));
    files.put("many empty mappings", () -> utf8("[" + "{},".repeat(size / 3) + "]"));
    files.put("aliases", () -> utf8(bomb("[", "]", 12)));
    files.put("aliases in keys", () -> utf8("? &a [x]\n: b\n*a : c\n"));
    files.put("merges", () -> utf8(merges(14)));
    files.put("a merge of itself", () -> utf8("a: &a\n  <<: *a\n"));
    files.put("an alias of itself", () -> utf8("a: &a [*a]\n"));
    files.put("anchors", () -> utf8(lines(size / 16, i -> "- &a" + i + " x")));
    files.put("an anchor again and again", () -> utf8(lines(size / 8, i -> "- &a x")));
    files.put(
        "aliases of much",
        () -> utf8("a: &a [" + "x,".repeat(4000) + "]\nb: [" + "*a,".repeat(4000) + "]\n"));
    files.put("a tag", () -> utf8("a: !!java.lang.ProcessBuilder [x]\n"));
    files.put("tags", () -> utf8("!!str ".repeat(size / 8)));
    files.put("a long tag", () -> utf8("a: !<" + "x".repeat(size) + "> b\n"));
    files.put("a long anchor", () -> utf8("a: &" + "x".repeat(size) + " b\n"));
  }

  private static String list(int depth) {
    return depth == 0 ? "" : "{kind: List, apiVersion: v1, items: [" + list(depth - 1) + "]}";
  }

  private static String bomb(String open, String close, int levels) {
    StringBuilder text = new StringBuilder("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < levels; i++) {
      text.append("a" + i + ": &a" + i + " " + open);
      text.append(("*a" + (i - 1) + ",").repeat(10)).append(close).append('\n');
    }
    return text.toString();
  }

  private static String merges(int levels) {
    StringBuilder text = new StringBuilder("a0: &a0 {x0: 1, y0: 2}\n");
    for (int i = 1; i < levels; i++) {
      text.append(
          "a%d: &a%d {<<: [%s], x%d: 1}\n"
              .formatted(
                  i, i, String.join(", ", java.util.Collections.nCopies(20, "*a" + (i - 1))), i));
    }
    return text.toString();
  }

  private static void values(Map<String, Supplier<byte[]>> files, int size) {
    files.put("a large scalar", () -> utf8("a: " + "x".repeat(size) + "\n"));
    files.put("a large key", () -> utf8("x".repeat(size) + ": a\n"));
    files.put("a large quoted key", () -> utf8("\"" + "x".repeat(size) + "\": a\n"));
    files.put("a large block", () -> utf8("a: |\n" + lines(size / 8, i -> "  line")));
    files.put("a folded block", () -> utf8("a: >\n" + lines(size / 8, i -> "  line")));
    files.put("an open quote", () -> utf8("a: \"" + "x".repeat(size)));
    files.put("an open quote over lines", () -> utf8("a: '" + "x\n".repeat(size / 2)));
    files.put("escapes", () -> utf8("a: \"" + "\\u0041".repeat(size / 6) + "\"\n"));
    files.put("a bad escape", () -> utf8("a: \"\\UFFFFFFFF\"\n"));
    files.put("an escaped surrogate", () -> utf8("a: \"\\uD800\"\n"));
    files.put(
        "digits",
        () -> utf8(POLICY + "  ingress: [{ports: [{port: " + "9".repeat(size) + "}]}]\n"));
    files.put("an exponent", () -> utf8(POLICY + "  ingress: [{ports: [{port: 1e999999999}]}]\n"));
    files.put("hexadecimal", () -> utf8(POLICY + "  ingress: [{ports: [{port: 0xffffffffff}]}]\n"));
    files.put("a negative port", () -> utf8(POLICY + "  ingress: [{ports: [{port: -80}]}]\n"));
    files.put("nan", () -> utf8(POLICY + "  ingress: [{ports: [{port: .nan, endPort: -.inf}]}]\n"));
    files.put(
        "a long name",
        () -> utf8(POLICY.replace("name: p", "name: " + "p".repeat(size)) + "  {}\n"));
    files.put(
        "a name of dashes",
        () -> utf8(POLICY.replace("name: p", "name: a" + "-.".repeat(size / 2))));
    for (String cidr :
        List.of(
            "1.2.3.4/99999999999999",
            "1.2.3.4/-1",
            "::/129",
            "1::2::3/8",
            "fe80::1%eth0/64",
            "/",
            "1.2.3/8",
            "0x7f.1/8",
            "::ffff:1.2.3.4/96",
            "1.2.3.4/08",
            "١.2.3.4/8")) {
      files.put(
          "the block " + cidr,
          () -> utf8(POLICY + "  ingress: [{from: [{ipBlock: {cidr: \"" + cidr + "\"}}]}]\n"));
    }
    files.put(
        "a long block",
        () ->
            utf8(
                POLICY
                    + "  ingress: [{from: [{ipBlock: {cidr: \""
                    + "1.".repeat(size / 2)
                    + "\"}}]}]"));
    files.put(
        "a long IPv6 block",
        () ->
            utf8(
                POLICY
                    + "  ingress: [{from: [{ipBlock: {cidr: \""
                    + "1:".repeat(size / 2)
                    + "\"}}]}]"));
    for (String wrong :
        List.of("[]", "{}", "null", "1", "a", "true", "[[]]", "[{}]", "[null]", "[1]", "~")) {
      files.put(
          "the spec " + wrong, () -> utf8(POLICY.replace("spec:\n", "spec: " + wrong + "\n")));
      files.put("the selector " + wrong, () -> utf8(POLICY + "  podSelector: " + wrong + "\n"));
      files.put("the rules " + wrong, () -> utf8(POLICY + "  ingress: " + wrong + "\n"));
      files.put(
          "the metadata " + wrong, () -> utf8("apiVersion: v1\nkind: Service\nmetadata: " + wrong));
      files.put("the kind " + wrong, () -> utf8("apiVersion: v1\nkind: " + wrong));
      files.put("the version " + wrong, () -> utf8("kind: Service\napiVersion: " + wrong));
      files.put("the file " + wrong, () -> utf8(wrong));
      files.put(
          "the authorization " + wrong, () -> utf8(AUTHORIZATION + "  rules: " + wrong + "\n"));
      files.put("the routes " + wrong, () -> utf8(ROUTE + "    " + wrong + "\n"));
    }
  }

  private static void policies(Map<String, Supplier<byte[]>> files, int size) {
    files.put(
        "labels",
        () ->
            utf8(
                POLICY
                    + "  podSelector:\n    matchLabels:\n"
                    + lines(size / 16, i -> "      k" + i + ": v")));
    files.put(
        "values of a requirement",
        () ->
            utf8(
                POLICY
                    + "  podSelector: {matchExpressions: [{key: a, operator: In, values: ["
                    + "v,".repeat(size / 2)
                    + "]}]}\n"));
    files.put(
        "blocks",
        () ->
            utf8(
                POLICY
                    + "  ingress:\n    - from:\n"
                    + lines(
                        size / 48,
                        i ->
                            "        - ipBlock: {cidr: %d.%d.%d.0/24}"
                                .formatted(1 + (i >> 16) % 223, i >> 8 & 255, i & 255))));
    files.put(
        "exceptions",
        () ->
            utf8(
                POLICY
                    + "  ingress:\n    - from:\n        - ipBlock:\n            cidr: 0.0.0.0/0\n"
                    + "            except:\n"
                    + lines(
                        size / 32,
                        i ->
                            "              - %d.%d.%d.0/24"
                                .formatted(1 + (i >> 16) % 223, i >> 8 & 255, i & 255))));
    files.put(
        "ranges",
        () ->
            utf8(
                POLICY
                    + "  ingress:\n    - ports:\n"
                    + lines(
                        size / 40,
                        i ->
                            "        - {port: %d, endPort: %d}"
                                .formatted(1 + i % 30_000, 30_001 + i % 30_000))));
    files.put(
        "mistakes",
        () ->
            utf8(
                POLICY
                    + "  ingress:\n    - ports:\n"
                    + lines(size / 24, i -> "        - {port: x!}")));
    files.put("unknown fields", () -> utf8(POLICY + lines(size / 12, i -> "  field" + i + ": 1")));
    for (String slashes : List.of("/", "/a", "//a", "{", "{*}/", "{**}", "%")) {
      files.put(
          "paths of " + slashes,
          () ->
              utf8(
                  AUTHORIZATION
                      + "  rules: [{to: [{operation: {paths: [\"a"
                      + slashes.repeat(size / slashes.length())
                      + "b\"]}}]}]\n"));
    }
    files.put(
        "principals",
        () ->
            utf8(
                AUTHORIZATION
                    + "  rules: [{from: [{source: {principals: [\""
                    + "*".repeat(size)
                    + "\"]}}]}]\n"));
    files.put(
        "accounts",
        () ->
            utf8(
                AUTHORIZATION
                    + "  rules: [{from: [{source: {serviceAccounts: [\""
                    + "/".repeat(size)
                    + "\"]}}]}]\n"));
    files.put(
        "conditions",
        () ->
            utf8(
                AUTHORIZATION
                    + "  rules: [{when: [{key: \"request.headers"
                    + "[".repeat(size)
                    + "\", values: [a]}]}]\n"));
    List<String> patterns =
        new ArrayList<>(
            List.of(
                "(a*)*b",
                "(a|a)*b",
                "a{1000}{1000}",
                "(((a{30}){30}){30}){30}",
                "(?=a)",
                "\\\\1",
                "[",
                "(?i)a",
                "(",
                "a**",
                "x{1,1000}{1,1000}",
                "\\\\p{L}*",
                "(?P<n>a)"));
    patterns.add("(".repeat(1000));
    patterns.add("a?".repeat(500) + "a".repeat(500));
    patterns.add("a".repeat(size));
    for (String pattern : patterns) {
      String name = pattern.length() > 40 ? pattern.substring(0, 40) : pattern;
      files.put(
          "the pattern " + name,
          () ->
              utf8(
                  ROUTE
                      + "    - matches: [{path: {type: RegularExpression, value: \""
                      + pattern
                      + "\"}}]\n"));
    }
    files.put(
        "matches",
        () ->
            utf8(
                ROUTE
                    + "    - matches:\n"
                    + lines(size / 40, i -> "      - {path: {value: /p" + i + "}}")));
    files.put(
        "weights",
        () ->
            utf8(
                ROUTE
                    + "    - backendRefs:\n"
                    + lines(
                        size / 48, i -> "      - {name: s" + i + ", port: 80, weight: 1000000}")));
    files.put(
        "a huge certificate",
        () ->
            utf8(
                "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {name: s}\n"
                    + "data: {tls.crt: "
                    + "QUFB".repeat(size / 4)
                    + ", tls.key: '!!!'}\n"));
  }

  /** Changes a manifest somewhere, as no author would. */
  static byte[] mutate(byte[] original, java.util.Random random) {
    byte[] content = original;
    for (int i = 1 + random.nextInt(4); i > 0; i--) {
      content = once(content, random);
    }
    return content;
  }

  private static final List<String> PIECES =
      List.of(
          "\t",
          "\r\n",
          "\uFEFF",
          "---\n",
          "...\n",
          "&a ",
          "*a ",
          "<<: *a\n",
          "{",
          "}",
          "[",
          "]",
          "\"",
          "'",
          "|\n",
          ">-\n",
          "? ",
          ": ",
          "- ",
          "!!binary ",
          "!x ",
          "%",
          "@",
          "`",
          "#",
          "\0",
          "\u0085",
          "\uD83D\uDE00",
          "null",
          "~",
          "-1",
          "1e9",
          "0x10",
          ".inf",
          "true",
          "  ",
          "\n\n",
          "99999999999999999999",
          "::",
          "0.0.0.0/0",
          "*",
          "\\",
          ",");

  private static byte[] once(byte[] content, java.util.Random random) {
    int at = random.nextInt(content.length + 1);
    int length = Math.min(content.length - at, random.nextInt(40));
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.write(content, 0, at);
    switch (random.nextInt(6)) {
      case 0 -> out.write(content, at + length, content.length - at - length);
      case 1 -> {
        out.write(content, at, length);
        out.write(content, at, content.length - at);
      }
      case 2 -> {
        out.writeBytes(utf8(PIECES.get(random.nextInt(PIECES.size()))));
        out.write(content, at, content.length - at);
      }
      case 3 -> {
        out.writeBytes(utf8(PIECES.get(random.nextInt(PIECES.size()))));
        out.write(content, at + length, content.length - at - length);
      }
      case 4 -> {
        out.write(random.nextInt(256));
        out.write(content, at + Math.min(1, length), content.length - at - Math.min(1, length));
      }
      default -> {} // cut off
    }
    return out.toByteArray();
  }
}
