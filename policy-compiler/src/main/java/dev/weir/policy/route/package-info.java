// SPDX-License-Identifier: Apache-2.0

/**
 * Which rule of which route a request meets, and where it goes from there.
 *
 * <p>Used by the proxy for every request and by the command line for questions about a plan, so
 * that both give the same answer. Pure: no network, no thread, no clock.
 *
 * <p>Precedence is the Gateway API's: the most specific hostname; then an exact path before a
 * regular expression before the longest prefix; then a rule that names the method; then the most
 * headers; then the most query parameters; then the order given. A request that meets no rule of
 * the most specific hostname is offered to the less specific ones.
 *
 * <p>Starting points: {@link RouteTable#compile}, {@link RequestTarget#parse}.
 */
@NullMarked
package dev.weir.policy.route;

import org.jspecify.annotations.NullMarked;
