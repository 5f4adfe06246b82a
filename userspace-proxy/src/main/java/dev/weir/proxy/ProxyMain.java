// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import dev.weir.proxy.control.ControlServer;
import dev.weir.proxy.identity.IdentityStore;
import dev.weir.proxy.listen.KernelOrigin;
import dev.weir.proxy.listen.Listeners;
import dev.weir.proxy.listen.MemoryLimit;
import dev.weir.proxy.observe.AccessLog;
import dev.weir.proxy.observe.Log;
import dev.weir.proxy.outbound.SessionKeyFile;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** The proxy's process. Exit status: 0 drained, 1 cannot run, 2 wrong usage. */
public final class ProxyMain {

  private static final String USAGE =
      """
      usage: weir-proxy --control PATH [--identities PATH] [--threads N]
        --control PATH  Unix socket to serve; plans come in here. Beside it lies session.key,
                        made when a route has sessions, and rollbacks, where canaries that
                        were rolled back are remembered
        --identities PATH
                        directory of certificates and roots (docs/protocols.md), read when a plan
                        has tunnels
        --threads N     event loops (default: one per processor)
      """;

  private ProxyMain() {}

  private record Options(Optional<Path> control, Optional<Path> identities, int threads) {}

  /** Runs until drained. */
  public static void main(String[] arguments) {
    System.exit(run(arguments));
  }

  static int run(String[] arguments) {
    Options options;
    try {
      options = parse(arguments);
    } catch (IllegalArgumentException e) {
      System.err.println("weir-proxy: " + e.getMessage());
      System.err.print(USAGE);
      return 2;
    }
    Log log = new Log(System.err);
    // An event loop that has died (out of heap, most likely) serves nobody and refuses nobody: then
    // the supervisor had better start another process.
    Thread.setDefaultUncaughtExceptionHandler(
        (thread, cause) -> {
          log.warn("thread " + thread.getName() + " has died: " + cause);
          Runtime.getRuntime().halt(1);
        });
    Optional<Throwable> unavailable = Listeners.unavailable();
    if (unavailable.isPresent()) {
      log.warn("epoll is not available: " + unavailable.get().getMessage());
      return 1;
    }
    return serve(options, log);
  }

  private static int serve(Options options, Log log) {
    MultiThreadIoEventLoopGroup control =
        new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
    SessionKeyFile sessionKeys =
        new SessionKeyFile(options.control.map(socket -> socket.resolveSibling("session.key")));
    try (Proxy proxy =
        new Proxy(
            options.threads,
            new KernelOrigin(),
            System::nanoTime,
            log,
            new AccessLog(new FileOutputStream(FileDescriptor.out)),
            sessionKeys,
            new IdentityStore(options.identities, InstantSource.system(), log),
            options.control.map(socket -> socket.resolveSibling("rollbacks")),
            Proxy.directMemory(),
            MemoryLimit.own())) {
      ControlServer server = new ControlServer(control, options.control.orElseThrow(), proxy, log);
      log.info("waiting for a plan at " + options.control.orElseThrow());
      proxy.drained().join();
      server.close();
      return 0;
    } catch (IOException e) {
      log.warn(String.valueOf(e.getMessage()));
      return 1;
    } finally {
      control.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly();
    }
  }

  private static Options parse(String[] arguments) {
    Optional<Path> control = Optional.empty();
    Optional<Path> identities = Optional.empty();
    int threads = Runtime.getRuntime().availableProcessors();
    for (int i = 0; i < arguments.length; i++) {
      switch (arguments[i]) {
        case "--control" -> control = Optional.of(Path.of(value(arguments, ++i)));
        case "--identities" -> identities = Optional.of(Path.of(value(arguments, ++i)));
        case "--threads" -> threads = threads(value(arguments, ++i));
        default -> throw new IllegalArgumentException("unknown argument: " + arguments[i]);
      }
    }
    if (control.isEmpty()) {
      throw new IllegalArgumentException("--control is missing");
    }
    return new Options(control, identities, threads);
  }

  private static String value(String[] arguments, int at) {
    if (at >= arguments.length) {
      throw new IllegalArgumentException(arguments[at - 1] + " needs a value");
    }
    return arguments[at];
  }

  private static int threads(String text) {
    try {
      int threads = Integer.parseInt(text);
      if (threads >= 1 && threads <= 256) {
        return threads;
      }
    } catch (NumberFormatException e) {
      // Told below, with the range.
    }
    throw new IllegalArgumentException("--threads: " + text + " (expected: 1 to 256)");
  }
}
