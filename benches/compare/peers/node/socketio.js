// An application on Socket.IO that does what chappe's listeners get: a post goes to all who joined its room, and is
// answered if the client asks.
import { createServer } from 'node:http'
import { Server } from 'socket.io'

const http = createServer()
const io = new Server(http, { transports: ['websocket'], serveClient: false })

io.on('connection', (socket) => {
  socket.on('join', (room, done) => {
    socket.join(room)
    done()
  })
  socket.on('post', (room, text, done) => {
    io.to(room).emit('m', text)
    if (done) done()
  })
})

http.listen(Number(process.argv[2]), '127.0.0.1')
