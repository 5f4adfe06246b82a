// SPDX-License-Identifier: Apache-2.0

/**
 * The certificate authority: roots of trust, and short-lived X.509-SVIDs (SPIFFE) for the service
 * accounts of this node's workloads.
 *
 * <p>Everything here lives as long as one command, and nothing resident needs it: certificates are
 * files ({@code docs/protocols.md}). Bouncy Castle builds what is signed; keys, signatures and path
 * validation are the JDK's, and no provider is registered.
 *
 * <p>Starting point: {@link CertificateAuthority}.
 */
@NullMarked
package dev.weir.node.identity;

import org.jspecify.annotations.NullMarked;
