// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.node.kernel.KernelTest;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A workload that asks HTTP servers steadily: each over one connection that it keeps, and over new
 * ones all the time. For each line on its standard input it says how that has gone so far.
 */
public final class SteadyCaller {

  private static final int TIMEOUT_MILLIS = 20_000;
  private static final long PAUSE_MILLIS = 5;

  private final String address;
  private final int port;
  private final AtomicLong made = new AtomicLong();
  private final AtomicLong failed = new AtomicLong();
  private final AtomicLong kept = new AtomicLong();
  private final AtomicLong lost = new AtomicLong();
  private volatile String shown = "-";
  private volatile String problem = "-";

  private SteadyCaller(String address, int port) {
    this.address = address;
    this.port = port;
  }

  /**
   * How it has gone at one place, since the start.
   *
   * @param made new connections that were answered
   * @param failed new connections that were not
   * @param kept requests that were answered over the connection that is kept
   * @param lost how often that had to be made anew
   * @param shown what the server was told of a new connection's certificate
   * @param problem what went wrong last
   */
  record Tally(long made, long failed, long kept, long lost, String shown, String problem) {

    /** Whether everything was answered. */
    boolean clean() {
      return failed == 0 && lost == 0;
    }
  }

  /** One that runs in a cgroup of a node. */
  static final class Running {
    private final Process process;
    private final BufferedReader out;
    private final int places;

    /**
     * Starts it.
     *
     * @param places {@code ADDRESS:PORT} of each
     */
    Running(TwoNodes nodes, KernelTest node, String cgroup, String... places) throws IOException {
      process =
          nodes.start(NodeProcesses.workload(node, cgroup, SteadyCaller.class.getName(), places));
      out = process.inputReader(StandardCharsets.UTF_8);
      this.places = places.length;
    }

    /** How it has gone, at each place. */
    List<Tally> tallies() throws IOException {
      process.getOutputStream().write('\n');
      process.getOutputStream().flush();
      List<Tally> tallies = new ArrayList<>();
      while (tallies.size() < places) {
        String line = out.readLine();
        if (line == null) {
          throw new IOException("the caller has ended");
        }
        String[] f = line.split("\t", -1);
        if (f.length != 6) {
          throw new IOException("the caller says: " + line);
        }
        tallies.add(
            new Tally(
                Long.parseLong(f[0]),
                Long.parseLong(f[1]),
                Long.parseLong(f[2]),
                Long.parseLong(f[3]),
                f[4],
                f[5]));
      }
      return tallies;
    }
  }

  /**
   * Asks until it is ended.
   *
   * @param places {@code ADDRESS:PORT} of each
   */
  public static void main(String[] places) throws IOException {
    List<SteadyCaller> callers =
        Arrays.stream(places)
            .map(place -> place.split(":", 2))
            .map(place -> new SteadyCaller(place[0], Integer.parseInt(place[1])))
            .toList();
    for (SteadyCaller caller : callers) {
      Thread.ofPlatform().daemon().start(caller::keep);
      Thread.ofPlatform().daemon().start(caller::anew);
    }
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    while (in.readLine() != null) {
      callers.forEach(caller -> System.out.println(caller.tally()));
    }
  }

  private String tally() {
    return String.join(
        "\t",
        made.toString(),
        failed.toString(),
        kept.toString(),
        lost.toString(),
        shown,
        problem.replace('\t', ' '));
  }

  private void keep() {
    while (true) {
      try (Connection connection = new Connection()) {
        while (true) {
          var _ = connection.ask();
          kept.incrementAndGet();
          pause();
        }
      } catch (IOException e) {
        problem = "kept: " + e;
        lost.incrementAndGet();
        pause();
      }
    }
  }

  private void anew() {
    while (true) {
      try (Connection connection = new Connection()) {
        shown = connection.ask();
        made.incrementAndGet();
      } catch (IOException e) {
        problem = "new: " + e;
        failed.incrementAndGet();
      }
      pause();
    }
  }

  private static void pause() {
    try {
      Thread.sleep(PAUSE_MILLIS);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  private final class Connection implements AutoCloseable {
    private final Socket socket;
    private final BufferedReader in;

    Connection() throws IOException {
      socket = new Socket(address, port);
      socket.setSoTimeout(TIMEOUT_MILLIS);
      socket.setTcpNoDelay(true);
      in =
          new BufferedReader(
              new InputStreamReader(socket.getInputStream(), StandardCharsets.US_ASCII));
    }

    /** What the answer says of the certificate that the server was told of. */
    String ask() throws IOException {
      socket
          .getOutputStream()
          .write("GET /open HTTP/1.1\r\nHost: cart\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
      String status = line();
      if (!status.equals("HTTP/1.1 200 OK")) {
        throw new IOException("answered " + status);
      }
      int length = 0;
      String certificate = "-";
      for (String line = line(); !line.isEmpty(); line = line()) {
        String name = line.substring(0, line.indexOf(':')).toLowerCase(Locale.ROOT);
        String value = line.substring(line.indexOf(':') + 1).strip();
        if (name.equals("content-length")) {
          length = Integer.parseInt(value);
        } else if (name.equals(WebServer.CERTIFICATE)) {
          certificate = value;
        }
      }
      for (int i = 0; i < length; i++) {
        if (in.read() < 0) {
          throw new IOException("the answer breaks off");
        }
      }
      return certificate;
    }

    private String line() throws IOException {
      String line = in.readLine();
      if (line == null) {
        throw new IOException("the connection has ended");
      }
      return line;
    }

    @Override
    public void close() {
      try {
        socket.close();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }
}
