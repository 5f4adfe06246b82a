// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

/**
 * Ports that no rule tells apart.
 *
 * <p>Ports outside every class stand for themselves. A class is named by its first port, and rows
 * that mean the class carry that number.
 *
 * @param first lowest port
 * @param last highest port, inclusive
 */
public record PortClass(int first, int last) {}
