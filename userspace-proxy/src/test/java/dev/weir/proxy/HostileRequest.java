// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * One case of {@code hostile/requests.txt}, whose head says how it is written.
 *
 * @param name for people
 * @param rule what says so
 * @param bytes as sent, a character for each
 * @param reach what comes to the backend of it, in order
 * @param local status of the proxy's own answer before that, or 0
 * @param refuse status of the answer to the rest, or 0
 * @param last whether the connection ends with the last answer
 * @param end whether the client ends it, with something left unfinished
 * @param lenient by peer, why we serve what it refuses
 */
record HostileRequest(
    String name,
    String rule,
    String bytes,
    List<Reach> reach,
    int local,
    int refuse,
    boolean last,
    boolean end,
    Map<String, String> lenient) {

  /** Goes behind each case, in the same segment. */
  static final String SECOND = "GET /second HTTP/1.1\r\nHost: cart\r\n\r\n";

  private static final String FIRST = " /first HTTP/1.1\r\nHost: cart\r\n";

  /** A request as the backend gets it. */
  record Reach(String method, String target, String body) {}

  /** All of what ought to come to the backend, with the request behind the case. */
  List<Reach> expected() {
    List<Reach> all = new ArrayList<>(reach);
    if (!cut()) {
      all.add(new Reach("GET", "/second", ""));
    }
    return all;
  }

  /** Whether nothing is served that comes behind it. */
  boolean cut() {
    return refuse > 0 || last || end;
  }

  /** What the client writes. */
  String sent() {
    return bytes + SECOND;
  }

  @Override
  public String toString() {
    return name;
  }

  /** All cases. */
  static List<HostileRequest> all() {
    return CorpusFile.read("requests.txt").stream().map(HostileRequest::of).toList();
  }

  private static HostileRequest of(CorpusFile.Case from) {
    StringBuilder bytes = new StringBuilder();
    List<Reach> reach = new ArrayList<>();
    Map<String, String> lenient = new HashMap<>();
    int local = 0;
    int refuse = 0;
    boolean last = false;
    boolean end = false;
    for (CorpusFile.Line line : from.lines()) {
      switch (line.word()) {
        case ">" -> bytes.append(line.bytes());
        case "get" -> bytes.append("GET").append(FIRST);
        case "post" -> bytes.append("POST").append(FIRST);
        case "chunked" ->
            bytes.append("POST").append(FIRST).append("Transfer-Encoding: chunked\r\n\r\n");
        case "reach" -> {
          String[] parts = line.text().split(" ", 3);
          reach.add(
              new Reach(
                  parts[0],
                  CorpusFile.unescape(parts[1]),
                  parts.length < 3 ? "" : CorpusFile.unescape(parts[2])));
        }
        case "local" -> local = Integer.parseInt(line.text());
        case "refuse" -> refuse = Integer.parseInt(line.text());
        case "last" -> last = true;
        case "end" -> end = true;
        case "lenient" -> {
          String[] parts = line.text().split(" ", 2);
          lenient.put(parts[0], parts[1]);
        }
        default -> throw line.unknown();
      }
    }
    return new HostileRequest(
        from.name(),
        from.rule(),
        bytes.toString(),
        List.copyOf(reach),
        local,
        refuse,
        last,
        end,
        Map.copyOf(lenient));
  }
}
