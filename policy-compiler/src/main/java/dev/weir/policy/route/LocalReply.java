// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

/**
 * Why a request is answered without a backend. The statuses are those of the Gateway API
 * (HTTPRouteRule.backendRefs, GRPCRouteRule.backendRefs, Listener.hostname); those of gRPC that it
 * leaves open are those that gRPC gives an HTTP status (grpc/doc/http-grpc-status-mapping.md).
 */
public enum LocalReply {
  /** The target is not one that may be forwarded. */
  MALFORMED(400, 13, "the request target or Host is not valid"),
  /** Another listener is for this host: the client has to make a connection of its own. */
  MISDIRECTED(421, 14, "this connection was made for another host"),
  /** No listener is for this host, or no rule for this request. */
  NO_ROUTE(404, 12, "no route for this request"),
  /** Policy refuses the source this backend. */
  FORBIDDEN(403, 7, "policy does not allow this"),
  /** More requests than a rate allows. */
  RATE_LIMITED(429, 14, "too many requests"),
  /** The rule has no backend, or the reference whose turn it is leads nowhere. */
  NO_VALID_BACKEND(500, 14, "the route has no valid backend for this"),
  /** The backend has no endpoint. */
  NO_ENDPOINT(503, 14, "no ready endpoint");

  private final int status;
  private final int grpcStatus;
  private final String text;

  LocalReply(int status, int grpcStatus, String text) {
    this.status = status;
    this.grpcStatus = grpcStatus;
    this.text = text;
  }

  /** Of HTTP. */
  public int status() {
    return status;
  }

  /** Of gRPC, where the request is a call. */
  public int grpcStatus() {
    return grpcStatus;
  }

  /** For the client. */
  public String text() {
    return text;
  }

  /** The name of a status of gRPC, as its libraries write it. */
  public static String grpcName(int status) {
    return switch (status) {
      case 0 -> "OK";
      case 1 -> "Canceled";
      case 2 -> "Unknown";
      case 3 -> "InvalidArgument";
      case 4 -> "DeadlineExceeded";
      case 5 -> "NotFound";
      case 6 -> "AlreadyExists";
      case 7 -> "PermissionDenied";
      case 8 -> "ResourceExhausted";
      case 9 -> "FailedPrecondition";
      case 10 -> "Aborted";
      case 11 -> "OutOfRange";
      case 12 -> "Unimplemented";
      case 13 -> "Internal";
      case 14 -> "Unavailable";
      case 15 -> "DataLoss";
      case 16 -> "Unauthenticated";
      default -> throw new IllegalArgumentException("status: " + status + " (expected: 0 to 16)");
    };
  }
}
