// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

import org.HdrHistogram.Histogram;

/**
 * Counts of one kind of request on one event loop. Written by that loop only; others get a copy.
 *
 * <p>Istio's histograms have fixed buckets, and are counted in exactly those; the HdrHistogram
 * beside them gives quantiles that no bucket edge distorts.
 */
public final class Series {

  private final SeriesKey key;
  private long requests;
  private long requestMessages;
  private long responseMessages;
  private final Buckets duration = new Buckets();
  private final Buckets requestBytes = new Buckets();
  private final Buckets responseBytes = new Buckets();
  private final Histogram latencyMicros;

  Series(SeriesKey key) {
    this(key, latencyHistogram());
  }

  private Series(SeriesKey key, Histogram latencyMicros) {
    this.key = key;
    this.latencyMicros = latencyMicros;
  }

  /** Two significant digits, growing with what it sees: 2 KB for microseconds, 12 KB for 100 ms. */
  static Histogram latencyHistogram() {
    Histogram histogram = new Histogram(2);
    histogram.setAutoResize(true);
    return histogram;
  }

  /** What it counts. */
  public SeriesKey key() {
    return key;
  }

  /**
   * Counts one request.
   *
   * @param nanos from the request's first byte to the response's last
   * @param sent body bytes from the client
   * @param received body bytes to the client
   */
  public void record(long nanos, long sent, long received) {
    requests++;
    duration.add(nanos / 1_000_000.0);
    requestBytes.add((double) sent);
    responseBytes.add((double) received);
    latencyMicros.recordValue(Math.max(0, nanos / 1_000));
  }

  /** Counts the messages of a call of gRPC. */
  public void messages(long fromClient, long toClient) {
    requestMessages += fromClient;
    responseMessages += toClient;
  }

  long requests() {
    return requests;
  }

  long requestMessages() {
    return requestMessages;
  }

  long responseMessages() {
    return responseMessages;
  }

  Buckets duration() {
    return duration;
  }

  Buckets requestBytes() {
    return requestBytes;
  }

  Buckets responseBytes() {
    return responseBytes;
  }

  Histogram latencyMicros() {
    return latencyMicros;
  }

  void add(Series other) {
    requests += other.requests;
    requestMessages += other.requestMessages;
    responseMessages += other.responseMessages;
    duration.add(other.duration);
    requestBytes.add(other.requestBytes);
    responseBytes.add(other.responseBytes);
    latencyMicros.add(other.latencyMicros);
  }

  Series copy() {
    Series copy = new Series(key, latencyHistogram());
    copy.add(this);
    return copy;
  }

  /** A histogram with Envoy's default buckets, which are Istio's. */
  static final class Buckets {
    private static final double[] EDGES = {
      0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000,
      1800000, 3600000
    };

    private final long[] counts = new long[EDGES.length + 1];
    private double sum;

    static int edges() {
      return EDGES.length;
    }

    static double edge(int i) {
      return EDGES[i];
    }

    void add(double value) {
      int i = 0;
      while (i < EDGES.length && value > EDGES[i]) {
        i++;
      }
      counts[i]++;
      sum += value;
    }

    void add(Buckets other) {
      for (int i = 0; i < counts.length; i++) {
        counts[i] += other.counts[i];
      }
      sum += other.sum;
    }

    long count(int i) {
      return counts[i];
    }

    double sum() {
      return sum;
    }
  }
}
