# Turns the NoCloud files this machine understands (host name, keys, network configuration version 2) into the variables
# of an OpenNebula context.
function quoted(text) { gsub(/'/, "'\\''", text); return "'" text "'" }
function bare(text) { gsub(/[]["',{}]/, " ", text); gsub(/^ +| +$/, "", text); return text }
function mask(length_, octets, i, bits) {
  for (i = 0; i < 4; i++) {
    bits = length_ > 8 ? 8 : length_
    length_ -= bits
    octets = octets (i ? "." : "") parts_of_mask[bits + 1]
  }
  return octets
}
function addresses(text, parts, count, i, pair) {
  count = split(bare(text), parts, / +/)
  for (i = 1; i <= count; i++) {
    if (split(parts[i], pair, "/") != 2) continue
    if (pair[1] ~ /:/) print "ETH" n "_IP6=" pair[1] "\nETH" n "_IP6_PREFIX_LENGTH=" pair[2]
    else print "ETH" n "_IP=" pair[1] "\nETH" n "_MASK=" mask(pair[2])
  }
}
function servers(text) { if (bare(text) != "") names = names bare(text) " " }
# Busybox has no power operator here, hence the table.
BEGIN { n = -1; split("0 128 192 224 240 248 252 254 255", parts_of_mask, " ") }
/^(local-)?hostname:/ { sub(/^[^:]*: */, ""); print "SET_HOSTNAME=" quoted(bare($0)); next }
/^ *- *["']?(ssh|ecdsa|sk)-/ { sub(/^ *- */, ""); gsub(/^["']|["']$/, ""); keys = keys $0 "\n"; next }
FILENAME !~ /network-config$/ { next }
/macaddress:/ { n++; text = $0; sub(/.*macaddress:/, "", text); print "ETH" n "_MAC=" tolower(bare(text)); section = ""; next }
n < 0 { next }
/^ *mtu:/ { print "ETH" n "_MTU=" bare($2); next }
/^ *nameservers:/ { section = "servers"; next }
/^ *addresses:/ {
  text = $0; sub(/.*addresses:/, "", text)
  if (section == "servers") servers(text); else { section = "addresses"; addresses(text) }
  next
}
/gateway4:|gateway6:|via:/ {
  text = $0; sub(/.*(gateway4|gateway6|via):/, "", text); split(bare(text), parts, / +/)
  print "ETH" n (parts[1] ~ /:/ ? "_IP6_GATEWAY=" : "_GATEWAY=") parts[1]
  next
}
/^ *routes:/ { section = "routes"; next }
/^ *- / { sub(/^ *- */, ""); if (section == "addresses") addresses($0); else if (section == "servers") servers($0); next }
END { if (keys != "") print "SSH_PUBLIC_KEY=" quoted(keys); if (names != "") print "ETH0_DNS=" quoted(names) }
