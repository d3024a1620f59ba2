#!/bin/sh
# GET /cgi-bin/info: what the guest knows of itself, as JSON.
printf 'Content-Type: application/json\r\n\r\n'
quote() { sed 's/\\/\\\\/g;s/"/\\"/g;s/[[:cntrl:]]/ /g' | awk '{printf "%s%s", s, $0; s=" "}'; }
list() { awk '{printf "%s\"%s\"", s, $1; s=","}'; }
read -r up rest < /proc/uptime
read -r boot < /proc/sys/kernel/random/boot_id
read -r name < /proc/sys/kernel/hostname
read -r context < /run/context
data=; [ -e /run/data ] && read -r data < /run/data
status=null; [ -e /run/start_script.status ] && read -r status < /run/start_script.status
printf '{"hostname":"%s","uptime_s":%s,"boot_id":"%s","context":"%s","data":"%s","start_script_status":%s,' \
  "$name" "$up" "$boot" "$context" "$data" "$status"
printf '"addresses":[%s],' "$(ip -o addr show scope global | awk '{print $4}' | list)"
printf '"macs":[%s],' "$(cat /sys/class/net/eth*/address 2>/dev/null | list)"
printf '"disks":{%s},' "$(for block in /sys/block/vd* /sys/block/sd* /sys/block/sr*; do
  [ -e "$block" ] || continue
  read -r sectors < "$block/size"
  printf '%s"%s":%s' "$comma" "${block##*/}" $((sectors * 512)); comma=,
done)"
printf '"cpus":%s,"memory_kib":%s,"cmdline":"%s","firmware":"%s"}\n' \
  "$(nproc)" "$(awk '/MemTotal/{print $2}' /proc/meminfo)" "$(quote < /proc/cmdline)" \
  "$([ -e /sys/firmware/efi ] && echo uefi || echo bios)"
