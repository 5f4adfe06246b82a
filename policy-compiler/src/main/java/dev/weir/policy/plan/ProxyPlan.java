// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.List;
import java.util.Optional;

/**
 * What the proxy is to do.
 *
 * @param listeners ports it terminates for {@code Gateway}s
 * @param virtualServices services whose connections lead to the proxy
 * @param clusters where routes lead; {@link WeightedBackend#cluster} is an index
 */
public record ProxyPlan(
    List<Listener> listeners, List<VirtualService> virtualServices, List<Cluster> clusters) {

  /** Nothing to do: no proxy is needed. */
  public static final ProxyPlan NONE = new ProxyPlan(List.of(), List.of(), List.of());

  /** Copies the lists. */
  public ProxyPlan {
    listeners = List.copyOf(listeners);
    virtualServices = List.copyOf(virtualServices);
    clusters = List.copyOf(clusters);
  }

  /** Whether a proxy has to run. */
  public boolean needed() {
    return !listeners.isEmpty() || !virtualServices.isEmpty();
  }

  /**
   * One listener of a Gateway.
   *
   * @param gateway {@code namespace/name}
   * @param name of the listener
   * @param address to bind, empty for all
   * @param port to bind
   * @param hostname it serves, may begin with {@code *.}; empty for all
   * @param tls certificates when it terminates TLS; empty for plain HTTP
   * @param routes in order of precedence
   */
  public record Listener(
      String gateway,
      String name,
      Optional<Address> address,
      int port,
      String hostname,
      Optional<Tls> tls,
      List<Route> routes) {
    /** Copies the list. */
    public Listener {
      routes = List.copyOf(routes);
    }
  }

  /**
   * TLS of a listener.
   *
   * @param certificates names of key pairs that travel beside the plan ({@link TlsKeyPair#name})
   */
  public record Tls(List<String> certificates) {
    /** Copies the list. */
    public Tls {
      certificates = List.copyOf(certificates);
    }
  }

  /**
   * A service that leads to the proxy.
   *
   * @param workload index of the {@code Service} workload
   * @param address virtual address
   * @param port virtual port
   * @param routes in order of precedence; a request that matches none is answered 404
   */
  public record VirtualService(int workload, Address address, int port, List<Route> routes) {
    /** Copies the list. */
    public VirtualService {
      routes = List.copyOf(routes);
    }
  }

  /**
   * An HTTPRoute as attached to one parent.
   *
   * @param name {@code namespace/name}
   * @param rule index of the plan's rule that stands for the route
   * @param hostnames it serves, already cut with the listener's; empty for all
   * @param rules in file order
   */
  public record Route(String name, int rule, List<String> hostnames, List<RouteRule> rules) {
    /** Copies the lists. */
    public Route {
      hostnames = List.copyOf(hostnames);
      rules = List.copyOf(rules);
    }
  }

  /**
   * One rule of a route.
   *
   * @param matches any of them; never empty (the default is path prefix /)
   * @param filters on the request before and the response after
   * @param backends with weights; none and no answering filter means 500
   * @param requestTimeoutMillis whole request, 0 for none
   * @param backendTimeoutMillis one try, 0 for none
   */
  public record RouteRule(
      List<Match> matches,
      List<Filter> filters,
      List<WeightedBackend> backends,
      long requestTimeoutMillis,
      long backendTimeoutMillis) {
    /** Copies the lists. */
    public RouteRule {
      matches = List.copyOf(matches);
      filters = List.copyOf(filters);
      backends = List.copyOf(backends);
    }
  }

  /**
   * All of it must hold (Gateway API HTTPRouteMatch).
   *
   * @param path of the request target, without query
   * @param headers each must hold; names in lower case
   * @param query each must hold
   * @param method exact, empty for any
   */
  public record Match(
      PathMatch path, List<ValueMatch> headers, List<ValueMatch> query, Optional<String> method) {
    /** Copies the lists. */
    public Match {
      headers = List.copyOf(headers);
      query = List.copyOf(query);
    }
  }

  /** How a path is compared. */
  public sealed interface PathMatch {
    /** The whole path, case-sensitive. */
    record Exact(String path) implements PathMatch {}

    /** By elements: /abc matches /abc and /abc/d, not /abcd. */
    record Prefix(String path) implements PathMatch {}

    /** The whole path against a java.util.regex pattern, bounded by the compiler. */
    record Regex(String pattern) implements PathMatch {}
  }

  /**
   * A header or query parameter.
   *
   * @param name lower case for headers, exact for query
   * @param value to compare with
   * @param regex whether value is a pattern for the whole value
   */
  public record ValueMatch(String name, String value, boolean regex) {}

  /** What happens to a request or response on its way. */
  public sealed interface Filter {
    /** Changes the request's headers. */
    record RequestHeaders(HeaderEdit edit) implements Filter {}

    /** Changes the response's headers. */
    record ResponseHeaders(HeaderEdit edit) implements Filter {}

    /** Answers with a redirect; empty parts stay as the request has them. */
    record Redirect(
        Optional<String> scheme,
        Optional<String> hostname,
        Optional<PathEdit> path,
        Optional<Integer> port,
        int status)
        implements Filter {}

    /** Rewrites the request target. */
    record Rewrite(Optional<String> hostname, Optional<PathEdit> path) implements Filter {}
  }

  /** A new path. */
  public sealed interface PathEdit {
    /** The whole path. */
    record Full(String path) implements PathEdit {}

    /** Instead of the prefix that matched. */
    record Prefix(String path) implements PathEdit {}
  }

  /**
   * Set, then add, then remove.
   *
   * @param set name to value
   * @param add name to value
   * @param remove names
   */
  public record HeaderEdit(List<Header> set, List<Header> add, List<String> remove) {
    /** Copies the lists. */
    public HeaderEdit {
      set = List.copyOf(set);
      add = List.copyOf(add);
      remove = List.copyOf(remove);
    }
  }

  /** A header with its value. */
  public record Header(String name, String value) {}

  /**
   * A share of a rule's requests.
   *
   * @param cluster index into {@link ProxyPlan#clusters}; -1 when the reference is invalid, and its
   *     share is answered 500
   * @param weight 0 for no traffic
   * @param filters of this backend only
   */
  public record WeightedBackend(int cluster, int weight, List<Filter> filters) {
    /** Copies the list. */
    public WeightedBackend {
      filters = List.copyOf(filters);
    }
  }

  /**
   * One port of a service as a destination.
   *
   * @param workload index of the {@code Service} workload, for metrics
   * @param name {@code namespace/service:port}
   * @param endpoints indexes into {@link Plan#backends}; empty means 503
   */
  public record Cluster(int workload, String name, List<Integer> endpoints) {
    /** Copies the list. */
    public Cluster {
      endpoints = List.copyOf(endpoints);
    }
  }
}
