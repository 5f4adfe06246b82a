// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfException;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Does parts of a change at the same time, each on a thread that ends with it. */
final class Beside implements AutoCloseable {

  private final ExecutorService threads =
      Executors.newThreadPerTaskExecutor(Thread.ofPlatform().name("weir-beside-", 0).factory());

  /** What a part will have led to. */
  @FunctionalInterface
  interface Task<T> {
    /**
     * Waits for it.
     *
     * @throws RuntimeException with which it failed
     */
    T get();
  }

  /** Begins a part. */
  <T> Task<T> start(Callable<T> part) {
    Future<T> future = threads.submit(part);
    return () -> {
      try {
        return future.get();
      } catch (ExecutionException e) {
        throw switch (e.getCause()) {
          case NodeException known -> known;
          case BpfException known -> known;
          case null, default -> new NodeException("a part of the change failed: " + e, e);
        };
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new NodeException("interrupted", e);
      }
    };
  }

  /** Waits for the end of all parts: none goes on when whoever began it has let go of the lock. */
  @Override
  public void close() {
    threads.close();
  }
}
