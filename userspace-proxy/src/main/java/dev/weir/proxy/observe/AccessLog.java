// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

import dev.weir.policy.plan.Telemetry;
import dev.weir.proxy.loop.Loop;
import java.io.IOException;
import java.io.OutputStream;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * JSON lines about single requests. Event loops write lines into bounded memory of their own and
 * never wait; one thread, which is there from the first line on, takes them to the stream. What
 * finds no room is counted and left out.
 */
public final class AccessLog implements AutoCloseable {

  /** Bytes of lines that wait, for each event loop. */
  static final int RING = 256 << 10;

  /** How long a line waits at most when nobody else has anything to say. */
  private static final Duration PAUSE = Duration.ofMillis(100);

  private static final Duration LAST_WORDS = Duration.ofSeconds(1);

  private final OutputStream out;
  private final List<Lines> loops = new CopyOnWriteArrayList<>();
  private final AtomicBoolean started = new AtomicBoolean();
  private final Thread writer = new Thread(this::write, "access-log");
  private volatile boolean closed;

  /**
   * A log that has nothing to say yet.
   *
   * @param out where lines go; may block
   */
  public AccessLog(OutputStream out) {
    this.out = out;
    writer.setDaemon(true);
  }

  /**
   * What one event loop writes to.
   *
   * @param loops how many there are: they share {@code perSecond}
   */
  public Lines of(Loop loop, LoopMetrics metrics, int loops) {
    Lines lines = new Lines(loop, metrics, loops);
    this.loops.add(lines);
    return lines;
  }

  /** Of one event loop, for its own thread. */
  public final class Lines {
    private final Loop loop;
    private final LoopMetrics metrics;
    private final int sharers;
    private final JsonLine line = new JsonLine();
    private volatile @Nullable LineRing ring;
    private int turn;
    private long secondEnds;
    private int inSecond;

    private Lines(Loop loop, LoopMetrics metrics, int sharers) {
      this.loop = loop;
      this.metrics = metrics;
      this.sharers = sharers;
      this.secondEnds = loop.coarseNanos();
    }

    /**
     * Whether a request or connection that has just ended has a line. Asked once for each.
     *
     * @param failed answered 400 or above, or not as it should have been
     */
    public boolean wants(Telemetry.AccessLog rules, boolean failed) {
      if (!rules.on()) {
        return false;
      }
      boolean chosen = false;
      if (rules.oneIn() > 0) {
        chosen = turn % rules.oneIn() == 0;
        turn = chosen ? 1 : turn + 1;
      }
      return (chosen || failed && rules.errors()) && hasRoom(rules);
    }

    private boolean hasRoom(Telemetry.AccessLog rules) {
      long now = loop.coarseNanos();
      if (now - secondEnds >= 0) {
        secondEnds = now + TimeUnit.SECONDS.toNanos(1);
        inSecond = 0;
      }
      if (inSecond >= Math.ceilDiv(rules.perSecond(), sharers)) {
        metrics.count(Counter.ACCESS_LOST);
        return false;
      }
      inSecond++;
      return true;
    }

    /** Hands a line to the writer. */
    public void write(AccessEntry entry) {
      LineRing to = ring;
      if (to == null) {
        to = new LineRing(RING);
        ring = to;
        if (started.compareAndSet(false, true)) {
          writer.start();
        }
      }
      entry.write(line, System.currentTimeMillis());
      if (to.offer(line.bytes(), line.length())) {
        metrics.count(Counter.ACCESS_LOGGED);
      } else {
        metrics.count(Counter.ACCESS_LOST);
      }
      if (to.isHalfFull()) {
        LockSupport.unpark(writer);
      }
    }

    private void lost(int lines) {
      for (int i = 0; i < lines; i++) {
        metrics.count(Counter.ACCESS_LOST);
      }
    }
  }

  private void write() {
    while (!closed) {
      LockSupport.parkNanos(PAUSE.toNanos());
      drain();
    }
    drain();
  }

  private void drain() {
    boolean any = false;
    for (Lines lines : loops) {
      LineRing ring = lines.ring;
      if (ring != null) {
        try {
          any |= ring.drainTo(out) > 0;
        } catch (IOException e) {
          // Nobody reads it any more; the loops go on, and count.
          int lost = ring.discard();
          lines.loop.executor().execute(() -> lines.lost(lost));
        }
      }
    }
    if (any) {
      try {
        out.flush();
      } catch (IOException e) {
        // The next write says it again, and counts.
        return;
      }
    }
  }

  /** Writes what waits, for a second at most: a stream that is stuck holds nobody up. */
  @Override
  public void close() {
    closed = true;
    if (started.get()) {
      LockSupport.unpark(writer);
      try {
        var _ = writer.join(LAST_WORDS);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }
  }
}
