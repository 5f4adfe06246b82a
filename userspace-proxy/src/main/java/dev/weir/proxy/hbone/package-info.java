// SPDX-License-Identifier: Apache-2.0
/**
 * Node to node: connections within streams of HTTP/2 CONNECT, within mutual TLS (HBONE, Istio's
 * ambient mode). Starting points: {@link dev.weir.proxy.hbone.TunnelServer} and {@link
 * dev.weir.proxy.hbone.Tunnels}.
 */
@NullMarked
package dev.weir.proxy.hbone;

import org.jspecify.annotations.NullMarked;
