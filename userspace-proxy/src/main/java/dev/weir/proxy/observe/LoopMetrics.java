// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Counts of one event loop, for that loop's thread only. */
public final class LoopMetrics {

  /** Kinds of request told apart per loop; the rest is counted together. */
  public static final int MAX_SERIES = 500;

  private final Map<SeriesKey, Series> series = new HashMap<>();
  private final Map<StreamKey, StreamSeries> streams = new HashMap<>();
  private final long[] counters = new long[Counter.values().length];

  /** All zero. */
  public LoopMetrics() {}

  /** The counts of one kind of request; callers keep it as long as the kind is the same. */
  public Series series(SeriesKey key) {
    Series found = series.get(key);
    if (found != null) {
      return found;
    }
    if (series.size() >= MAX_SERIES) {
      count(Counter.SERIES_OVERFLOW);
      return series.computeIfAbsent(SeriesKey.OVERFLOW, Series::new);
    }
    Series fresh = new Series(key);
    series.put(key, fresh);
    return fresh;
  }

  /** The counts of one kind of connection that is led on as it is. */
  public StreamSeries streams(StreamKey key) {
    StreamSeries found = streams.get(key);
    if (found != null) {
      return found;
    }
    if (streams.size() >= MAX_SERIES) {
      count(Counter.SERIES_OVERFLOW);
      return streams.computeIfAbsent(StreamKey.OVERFLOW, StreamSeries::new);
    }
    StreamSeries fresh = new StreamSeries(key);
    streams.put(key, fresh);
    return fresh;
  }

  /** Counts an event. */
  public void count(Counter counter) {
    counters[counter.ordinal()]++;
  }

  /** How often an event was counted. */
  public long counted(Counter counter) {
    return counters[counter.ordinal()];
  }

  /** A copy to read elsewhere. */
  public Copy copy() {
    return new Copy(
        series.values().stream().map(Series::copy).toList(),
        streams.values().stream().map(StreamSeries::copy).toList(),
        counters.clone());
  }

  /** Counts at one moment. */
  public static final class Copy {
    private final List<Series> series;
    private final List<StreamSeries> streams;
    private final long[] counters;

    private Copy(List<Series> series, List<StreamSeries> streams, long[] counters) {
      this.series = series;
      this.streams = streams;
      this.counters = counters;
    }

    /** How many requests each route has had, by its name; those of no route under an empty one. */
    public Map<String, Long> requestsByRoute() {
      Map<String, Long> requests = new HashMap<>();
      series.forEach(one -> requests.merge(one.key().route(), one.requests(), Long::sum));
      return requests;
    }

    List<Series> series() {
      return series;
    }

    List<StreamSeries> streams() {
      return streams;
    }

    /** How often an event was counted. */
    public long counted(Counter counter) {
      return counters[counter.ordinal()];
    }
  }
}
