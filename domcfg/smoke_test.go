package domcfg
import ("testing";"strings";"os";"bytes")
func TestSmoke(t *testing.T){
 d,w,err:=Parse("vm.xml",strings.NewReader(`<domain type='qemu'>
  <name>a</name><memory unit='MiB'>512</memory>
  <vcpu placement='static'>2</vcpu>
  <os><type arch='x86_64' machine='pc-1.0'>hvm</type><kernel>/boot/k</kernel><boot dev='hd'/></os>
  <features><acpi/><apic/><vmport state='off'/></features>
  <devices><emulator>/usr/bin/qemu</emulator>
  <disk type='file'><driver cache='none' discard='unmap'/><source file='/a'/><target dev='hda'/></disk>
  <disk type='file'><source file='/a'/><target dev='vda'/></disk>
  <interface type='user'/>
  <console type='pty'/><channel type='pty'><target type='virtio' name='x'/></channel>
  <tpm/><foo/><graphics type='vnc' port='-1'/><memballoon model='virtio'/>
  </devices></domain>`))
 for _,x:=range w {t.Log(x)}
 if err!=nil {t.Fatal(err)}
 for _,x:=range Unsupported(d) {t.Log(x)}
 d.SetDefaults(strings.NewReader("0123456789abcdef"))
 if err:=d.AssignAddresses();err!=nil{t.Fatal(err)}
 var b bytes.Buffer
 if err:=d.Format(&b);err!=nil{t.Fatal(err)}
 os.Stdout.Write(b.Bytes())
 if err:=d.Validate();err!=nil{t.Fatal(err)}
}
