// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import java.io.EOFException;
import java.io.IOException;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.locks.LockSupport;

/** Sends a case and sees what comes of it. */
final class HostileClient {

  private HostileClient() {}

  /** How a connection ended. */
  enum End {
    /** The request behind the case was answered. */
    OPEN,
    /** The other side closed it. */
    CLOSED,
    /** What came was not an HTTP/1.1 response. */
    ODD,
    /** Nothing came any more. */
    SILENT
  }

  /** The answers, and the end. */
  record Outcome(List<Client.Response> answers, End end) {

    /** The last answer's status; 0 without one. */
    int status() {
      return answers.isEmpty() ? 0 : answers.getLast().status();
    }
  }

  /** Sends a case with what goes behind it in one piece, and reads to the end. */
  static Outcome send(int port, HostileRequest request, int timeoutMillis) throws IOException {
    return send(port, request, List.of(request.sent()), timeoutMillis);
  }

  /** The same in several pieces, a millisecond apart, the cuts chosen by its name. */
  static Outcome trickle(int port, HostileRequest request, int timeoutMillis) throws IOException {
    List<String> pieces = new ArrayList<>();
    Random random = new Random(request.name().hashCode());
    String left = request.sent();
    int longest = 1 + left.length() / 5;
    while (!left.isEmpty()) {
      int cut = Math.min(left.length(), 1 + random.nextInt(longest));
      pieces.add(left.substring(0, cut));
      left = left.substring(cut);
    }
    return send(port, request, pieces, timeoutMillis);
  }

  private static Outcome send(
      int port, HostileRequest request, List<String> pieces, int timeoutMillis) throws IOException {
    List<Client.Response> answers = new ArrayList<>();
    try (Client client = new Client(port)) {
      client.socket().setSoTimeout(timeoutMillis);
      try {
        for (String piece : pieces) {
          client.send(piece);
          if (pieces.size() > 1) {
            LockSupport.parkNanos(1_000_000);
          }
        }
        if (request.end()) {
          client.socket().shutdownOutput();
        }
      } catch (SocketException refused) {
        // Refused before all of it was written: the answer may be there all the same.
      }
      while (true) {
        Client.Response answer = client.read(false);
        if (answer.status() >= 200) {
          answers.add(answer);
        }
        if (answer.header("x-target").equals("/second")) {
          return new Outcome(answers, End.OPEN);
        }
      }
    } catch (SocketTimeoutException silent) {
      return new Outcome(answers, End.SILENT);
    } catch (EOFException | SocketException closed) {
      return new Outcome(answers, End.CLOSED);
    } catch (IOException odd) {
      return new Outcome(answers, End.ODD);
    }
  }

  /** Returns when what was sent before has come to where it is going to: another one has. */
  static void settle(int port) throws IOException {
    try (Client client = new Client(port)) {
      Client.Response answer = client.get("/settled", "Connection: close\r\n");
      if (answer.status() != 200) {
        throw new IOException("/settled is answered with " + answer);
      }
    }
  }
}
